//! How much a network computes: the multiplications with additions (MACs) of one picture, counted from
//! the [`Architecture`]. How long they take is [`crate::budget`]'s affair.

use crate::architecture::{Architecture, Layer};

impl Architecture {
    /// Multiplications with additions for one picture: those of convolutions and dense layers, which is
    /// what papers count, and [`anchorwatch::network::LayerReport`] too. Products with padding count.
    pub fn macs(&self) -> u64 {
        let [_, mut height, mut width] = self.input;
        let mut macs = 0;
        for layer in &self.layers {
            match layer {
                Layer::Conv { inputs, outputs, kernel, stride, padding, groups, .. } => {
                    let side = |size: i64| (size + padding[0] + padding[1] - kernel) / stride + 1;
                    (height, width) = (side(height), side(width));
                    macs += height * width * outputs * (inputs / groups) * kernel * kernel;
                }
                Layer::Dense { inputs, outputs, .. } => macs += inputs * outputs,
                Layer::GlobalAveragePool => (height, width) = (1, 1),
                Layer::Input
                | Layer::BatchNorm { .. }
                | Layer::Activation(_)
                | Layer::Add { .. }
                | Layer::Flatten
                | Layer::Dropout(_)
                | Layer::ChannelDropout(_) => {}
            }
        }
        macs.unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use crate::architecture::Activation;
    use crate::backbones;
    use crate::measured_speed::random_model;

    #[test]
    fn the_known_networks_have_the_known_counts() {
        // The authors' network: 164.6 million.
        let cac9 = backbones::cac9([3, 32, 32], 6, Activation::LeakyRelu(0.2), 1.0, 0.3);
        assert_eq!((cac9.macs() as f64 / 1e5).round(), 1646.0);
        // EfficientNet-Lite0 with 1000 classes at 224×224: some 400 million (published: 407, as TensorFlow
        // counts, which has the additions of biases, batch normalisations and residual sums too).
        let lite0 = backbones::efficientnet_lite0([3, 224, 224], 1000, 16).macs() as f64 / 1e6;
        assert!((380.0..410.0).contains(&lite0), "{lite0}");
        let resnet = backbones::resnet([3, 32, 32], 10, 1.0).macs() as f64 / 1e6;
        assert!((71.0..73.0).contains(&resnet), "{resnet}");
    }

    #[test]
    fn the_engine_counts_the_same() {
        for architecture in [
            backbones::cac9([1, 28, 28], 6, Activation::Relu, 0.5, 0.0),
            backbones::tiny([3, 64, 48], 3, 0.5),
            backbones::resnet([3, 33, 32], 4, 0.25),
            backbones::efficientnet_lite0([3, 72, 72], 5, 7),
        ] {
            let model = random_model(&architecture).unwrap();
            let counted: u64 = model.layers().iter().map(|layer| layer.macs).sum();
            assert_eq!(counted, architecture.macs(), "{}", architecture.name);
        }
    }
}
