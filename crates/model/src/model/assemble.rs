//! A model put together from its parts, wherever these come from.

use std::convert::Infallible;

use kernel::{Format, Isa, Kernel, Matrix};

use super::{BlockWeights, Linear, Model, Norm};
use crate::decoder::{Kind, Part};
use crate::{Decoder, Parameters};

/// Where the weights of a model come from.
pub(super) trait Parts {
    type Error;

    /// The weight of a part, packed.
    fn matrix(&mut self, part: Part, layer: usize) -> Result<Matrix, Self::Error>;

    /// The weight of a norm, or a bias.
    fn vector(&mut self, part: Part, layer: usize, kind: Kind) -> Result<Vec<f32>, Self::Error>;
}

impl Model {
    /// Puts a model together.
    pub(super) fn assemble<P: Parts>(decoder: &Decoder, parts: &mut P) -> Result<Model, P::Error> {
        let mut all = Assembly { decoder, parts };
        let embedding = all.parts.matrix(Part::Embedding, 0)?;
        let head = match decoder.has(Part::Head) {
            true => Some(all.parts.matrix(Part::Head, 0)?),
            false => None,
        };
        let final_norm = all.norm(Part::FinalNorm, 0)?;
        let layers = 0..decoder.layers.len();
        let blocks = layers.map(|layer| all.block(layer)).collect::<Result<_, _>>()?;
        let (rotaries, slopes) = (decoder.rotary_tables(), decoder.alibi_slopes());
        let decoder = decoder.clone();
        Ok(Model { decoder, embedding, head, final_norm, blocks, rotaries, slopes })
    }
}

struct Assembly<'a, P> {
    decoder: &'a Decoder,
    parts: &'a mut P,
}

impl<P: Parts> Assembly<'_, P> {
    fn block(&mut self, layer: usize) -> Result<BlockWeights, P::Error> {
        Ok(BlockWeights {
            attention_norm: self.norm(Part::AttentionNorm, layer)?,
            query: self.linear(Part::Query, layer)?,
            key: self.linear(Part::Key, layer)?,
            value: self.linear(Part::Value, layer)?,
            query_norm: self.optional_norm(Part::QueryNorm, layer)?.map(|norm| norm.weight),
            key_norm: self.optional_norm(Part::KeyNorm, layer)?.map(|norm| norm.weight),
            output: self.linear(Part::Output, layer)?,
            after_attention: self.optional_norm(Part::AfterAttention, layer)?,
            ffn_norm: self.optional_norm(Part::FfnNorm, layer)?,
            gate: match self.decoder.has(Part::Gate) {
                true => Some(self.linear(Part::Gate, layer)?),
                false => None,
            },
            up: self.linear(Part::Up, layer)?,
            down: self.linear(Part::Down, layer)?,
            after_ffn: self.optional_norm(Part::AfterFfn, layer)?,
        })
    }

    fn optional_norm(&mut self, part: Part, layer: usize) -> Result<Option<Norm>, P::Error> {
        self.decoder.has(part).then(|| self.norm(part, layer)).transpose()
    }

    fn norm(&mut self, part: Part, layer: usize) -> Result<Norm, P::Error> {
        let weight = self.parts.vector(part, layer, Kind::Weight)?;
        Ok(Norm { weight, bias: self.bias(part, layer)? })
    }

    fn linear(&mut self, part: Part, layer: usize) -> Result<Linear, P::Error> {
        let weight = self.parts.matrix(part, layer)?;
        Ok(Linear { weight, bias: self.bias(part, layer)? })
    }

    fn bias(&mut self, part: Part, layer: usize) -> Result<Option<Vec<f32>>, P::Error> {
        let bias = self.decoder.has_bias(part);
        bias.then(|| self.parts.vector(part, layer, Kind::Bias)).transpose()
    }
}

impl From<&Parameters> for Model {
    fn from(trained: &Parameters) -> Model {
        let mut parts = Trained { trained, kernel: Kernel::new(Isa::best(), 1) };
        let Ok(model) = Model::assemble(trained.decoder(), &mut parts);
        model
    }
}

/// Parameters as they are trained.
struct Trained<'a> {
    trained: &'a Parameters,
    kernel: Kernel,
}

impl Trained<'_> {
    fn values(&self, part: Part, layer: usize, kind: Kind) -> &[f32] {
        let wanted = (part, layer, kind);
        let mut tensors = self.trained.layout().tensors().iter();
        let tensor = tensors.find(|tensor| (tensor.part, tensor.layer, tensor.kind) == wanted);
        let tensor = tensor.expect("a layout has all tensors of its decoder");
        &self.trained.values()[tensor.range.clone()]
    }
}

impl Parts for Trained<'_> {
    type Error = Infallible;

    fn matrix(&mut self, part: Part, layer: usize) -> Result<Matrix, Infallible> {
        let decoder = self.trained.decoder();
        let mut matrix = Matrix::zeroed(Format::F32, decoder.rows(part), decoder.columns(part));
        self.kernel.pack_values(&mut matrix, 0, self.values(part, layer, Kind::Weight));
        Ok(matrix)
    }

    fn vector(&mut self, part: Part, layer: usize, kind: Kind) -> Result<Vec<f32>, Infallible> {
        Ok(self.values(part, layer, kind).to_vec())
    }
}
