//! Runs an [`Architecture`] in libtorch, for training and for evaluation while training.

use crate::architecture::{Activation, Architecture, Layer};
use crate::variables::Variables;
use tch::{Kind, Tensor};

/// In which numbers the layers of a training step compute. The variables, their gradients, the loss
/// and everything that is measured are 32-bit floats in any case.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floats: on any machine
    #[default]
    F32,
    /// 16-bit brain floats: several times as fast where the processor multiplies them (AMX, AVX-512
    /// BF16), slower elsewhere
    Bf16,
}

impl Precision {
    fn kind(self) -> Kind {
        match self {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
        }
    }
}

/// What a network is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// To learn from it: batch normalisation uses the batch's own statistics and updates the running
    /// ones, dropout drops.
    Training(Precision),
    /// To use it.
    Evaluation,
}

/// Share of the newest batch in the running statistics of batch normalisation.
const BATCH_NORM_MOMENTUM: f64 = 0.1;

/// Logits (B×N, 32-bit floats) of a batch of inputs (B×C×H×W, normalised).
pub fn forward(architecture: &Architecture, variables: &Variables, input: &Tensor, pass: Pass) -> Tensor {
    features_and_logits(architecture, variables, input, pass).1
}

/// What the last dense layer reads (B×F, the features) and what it gives (B×N, the logits).
pub fn features_and_logits(
    architecture: &Architecture,
    variables: &Variables,
    input: &Tensor,
    pass: Pass,
) -> (Tensor, Tensor) {
    let (training, kind) = match pass {
        Pass::Training(precision) => (true, precision.kind()),
        Pass::Evaluation => (false, Kind::Float),
    };
    let kept: Vec<usize> = architecture
        .layers
        .iter()
        .filter_map(|layer| match layer {
            Layer::Add { with } => Some(*with),
            _ => None,
        })
        .collect();
    let mut shortcuts: Vec<Option<Tensor>> = architecture.layers.iter().map(|_| None).collect();
    let mut x = input.to_kind(kind);
    let mut features = x.shallow_clone();
    for (index, layer) in architecture.layers.iter().enumerate() {
        x = match layer {
            Layer::Input => x,
            Layer::Conv { name, kernel, stride, padding, groups, bias, .. } => {
                let weight = variables.get(&format!("{name}.weight")).to_kind(kind);
                let bias = bias.then(|| variables.get(&format!("{name}.bias")).to_kind(kind));
                debug_assert_eq!(weight.size()[2], *kernel);
                let [before, after] = *padding;
                let (x, padding) = if before == after {
                    (x, before)
                } else {
                    (x.constant_pad_nd([before, after, before, after]), 0)
                };
                x.conv2d(&weight, bias.as_ref(), [*stride, *stride], [padding, padding], [1, 1], *groups)
            }
            Layer::BatchNorm { name, eps, .. } => x.batch_norm(
                Some(variables.get(&format!("{name}.weight"))),
                Some(variables.get(&format!("{name}.bias"))),
                Some(variables.get(&format!("{name}.running_mean"))),
                Some(variables.get(&format!("{name}.running_var"))),
                training,
                BATCH_NORM_MOMENTUM,
                *eps,
                false,
            ),
            Layer::Activation(activation) => activate(x, *activation),
            Layer::Add { with } => x + shortcuts[*with].as_ref().unwrap_or(input),
            Layer::GlobalAveragePool => x.mean_dim([2i64, 3].as_slice(), true, None),
            Layer::Flatten => x.flatten(1, -1),
            Layer::Dropout(probability) => x.dropout(*probability, training),
            Layer::ChannelDropout(probability) => x.feature_dropout(*probability, training),
            Layer::Dense { name, bias, .. } => {
                // The distances to the centres are small differences: in whole floats.
                x = x.to_kind(Kind::Float);
                features = x.shallow_clone();
                let weight = variables.get(&format!("{name}.weight"));
                x.linear(weight, bias.then(|| variables.get(&format!("{name}.bias"))))
            }
        };
        if kept.contains(&index) {
            shortcuts[index] = Some(x.shallow_clone());
        }
    }
    (features, x)
}

/// Applies an activation. In place where autograd allows: batch normalisation, which always stands
/// before it, keeps its input and not its output.
fn activate(mut x: Tensor, activation: Activation) -> Tensor {
    match activation {
        Activation::Relu => x.relu_(),
        Activation::Relu6 => x.clamp_(0.0, 6.0),
        Activation::LeakyRelu(slope) => x.prelu(&Tensor::from_slice(&[slope]).to_kind(x.kind())),
    }
}
