//! Parameters of a model, as training and exports hold them.

use crate::{Decoder, GenerateError, Layout};

/// A model in memory as it is trained: its description, and its parameters in one flat vector.
#[derive(Debug, Clone)]
pub struct Parameters {
    decoder: Decoder,
    layout: Layout,
    values: Vec<f32>,
}

impl Parameters {
    /// Puts values (in [`Layout`] order) to a description.
    pub fn new(decoder: &Decoder, values: Vec<f32>) -> Result<Parameters, GenerateError> {
        let layout = Layout::new(decoder)?;
        if values.len() != layout.len() {
            return Err(GenerateError::Length { found: values.len(), expected: layout.len() });
        }
        Ok(Parameters { decoder: decoder.clone(), layout, values })
    }

    /// What the model computes.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Where the tensors lie in [`Parameters::values`].
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All parameters.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The parameters, without the rest.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}
