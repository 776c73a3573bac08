//! The embedding: what the last layer makes the logits of. A few logits say how far a thing is from each
//! known class; the hundreds of features before them also say what it looks like, which groups of unknown
//! things need (docs/review.md). They are computed anyway, and only read here.

use super::recognise::{IntegerPart, Kind};
use anchorwatch_kernels::{Memory, Program, Quantization};

/// Where the features lie: the input of the last layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Features {
    pub(super) tensor: usize,
    quantization: Quantization,
    places: usize,
    channels: usize,
}

impl Features {
    /// Those of a network that ends with a dense layer, all of it in integers.
    pub(super) fn of(part: &IntegerPart) -> Option<Self> {
        let last = part.layers.last()?;
        let dense = matches!(last.kind, Kind::Dense { .. }) && last.output.is_none();
        let tensor = last.inputs.first().copied().filter(|_| dense && part.rest.is_empty())?;
        let [height, width, channels] = part.tensors[tensor].shape;
        let quantization = part.tensors[tensor].quantization();
        Some(Self { tensor, quantization, places: height * width, channels })
    }

    /// One number a channel.
    pub(super) fn size(&self) -> usize {
        self.channels
    }

    /// The mean of each channel over all places, as real numbers.
    ///
    /// # Panics
    /// If there is not room for just as many.
    pub(super) fn read(&self, program: &Program, memory: &Memory, embedding: &mut [f32]) {
        let bytes = program.tensor(self.tensor, memory);
        assert_eq!(embedding.len(), self.channels, "one number a channel");
        embedding.fill(0.0);
        for place in bytes.chunks_exact(self.channels).take(self.places) {
            for (sum, stored) in embedding.iter_mut().zip(place) {
                *sum += f32::from(*stored);
            }
        }
        let Quantization { scale, zero_point } = self.quantization;
        for number in embedding {
            *number = (*number / self.places as f32 - f32::from(zero_point)) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recognise::recognise;
    use super::*;
    use crate::network::{Model, ModelFile, Outputs};
    use std::path::Path;

    /// Of the networks that are here, which average over all places before the last layer.
    #[test]
    fn the_logits_are_what_the_last_layer_makes_of_them() {
        for name in ["default", "tiny"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/{name}.onnx"));
            let file = ModelFile::read(&path).unwrap();
            let input = &file.metadata.input;
            let shape = [input.height as usize, input.width as usize, input.channels()];
            let graph = file.onnx.graph.as_ref().unwrap();
            let part = recognise(graph, &graph.input[0].name, shape).unwrap();
            let Some(Kind::Dense { weights, weight_scales, bias, .. }) =
                part.layers.last().map(|last| &last.kind)
            else {
                panic!("{name} ends with another layer")
            };
            let scale = Features::of(&part).unwrap().quantization.scale;
            let model = Model::from_file(&file).unwrap();
            let mut session = model.session().unwrap();
            for picture in 0..3usize {
                let pixels: Vec<u8> = (0..shape.iter().product())
                    .map(|at: usize| (at.wrapping_mul(97 + picture) >> 3) as u8)
                    .collect();
                let Outputs { logits, embedding } = session.outputs(&pixels).unwrap();
                assert_eq!(embedding.len(), model.embedding_size());
                assert!(embedding.iter().any(|number| *number != 0.0), "{name}: all are nothing");
                for (at, logit) in logits.iter().enumerate() {
                    let weights = &weights[at * embedding.len()..][..embedding.len()];
                    let products = weights.iter().zip(embedding).map(|(w, e)| f64::from(*w) * f64::from(*e));
                    let sum = products.sum::<f64>() + f64::from(bias[at]) * f64::from(scale);
                    let made = sum * f64::from(weight_scales[at]);
                    assert!((made - f64::from(*logit)).abs() < 1e-3, "{name}: {made} and not {logit}");
                }
            }
        }
    }

    #[test]
    fn a_network_in_float_has_none() {
        let model = Model::from_file(&crate::network::model::tests::colours()).unwrap();
        let mut session = model.session().unwrap();
        let outputs = session.outputs(&[7; 24]).unwrap();
        assert_eq!((model.embedding_size(), outputs.embedding), (0, &[][..]));
    }
}
