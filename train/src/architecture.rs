//! A network as plain data: what the backbones are made of, what training runs, what is folded
//! and exported. No weights in here: those live in a [`tch::nn::VarStore`] under the layers' names.

/// A pointwise non-linearity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// x for x ≥ 0, slope·x below
    LeakyRelu(f32),
}

/// One layer. Tensors are NCHW; `name` is the prefix of its variables.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// The network's input, C×H×W. Always layer 0, and only layer 0.
    Input,
    /// Convolution. Variables `name.weight` (outputs × inputs/groups × kernel × kernel) and, if
    /// `bias`, `name.bias` (outputs). `padding` is the number of zeros before (top and left) and
    /// after (bottom and right): TensorFlow's SAME rule pads unevenly at stride 2.
    Conv {
        name: String,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
        padding: [i64; 2],
        groups: i64,
        bias: bool,
    },
    /// Batch normalisation. Variables `name.weight`, `name.bias`, `name.running_mean`,
    /// `name.running_var` (each: channels).
    BatchNorm { name: String, channels: i64, eps: f64 },
    /// Non-linearity.
    Activation(Activation),
    /// Sum of the layer before and layer `with`.
    Add { with: usize },
    /// Mean over height and width: N×C×1×1.
    GlobalAveragePool,
    /// N×C×H×W to N×(C·H·W), in that order.
    Flatten,
    /// Dropout while training, nothing otherwise.
    Dropout(f64),
    /// Dropout of whole channels while training, nothing otherwise.
    ChannelDropout(f64),
    /// Dense layer. Variables `name.weight` (outputs × inputs) and, if `bias`, `name.bias`.
    Dense { name: String, inputs: i64, outputs: i64, bias: bool },
}

/// A network: each layer's input is the layer before it in the list (`Add` has a second one).
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// The backbone's name, as on the command line.
    pub name: String,
    /// Input shape: channels, height, width.
    pub input: [i64; 3],
    /// N, the number of logits.
    pub logits: i64,
    /// The layers, in the order they run; the last one's output is the logits.
    pub layers: Vec<Layer>,
}
