//! Parameters of a model trained here, as training and exports hold them.

use crate::{Config, GenerateError, Layout};

/// A trained model: its shape, and its parameters in one flat vector.
pub struct Parameters {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) params: Vec<f32>,
}

impl Parameters {
    /// Puts parameters (in [`Layout`] order) to a shape.
    pub fn new(config: &Config, params: Vec<f32>) -> Result<Parameters, GenerateError> {
        let layout = Layout::new(config)?;
        if params.len() != layout.len() {
            return Err(GenerateError::Length { found: params.len(), expected: layout.len() });
        }
        Ok(Parameters { config: config.clone(), layout, params })
    }

    /// The shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the tensors lie in [`Parameters::params`].
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All parameters.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// The parameters, without the rest.
    pub fn into_params(self) -> Vec<f32> {
        self.params
    }
}
