//! Networks in the shapes of the trainer's backbones, straight on the kernels: random weights, no
//! model file, no tract. What they compute is nothing; how long it takes is what counts.

use anchorwatch_kernels::{
    Activation, Addition, Convolution, ConvolutionSpec, Dense, DenseSpec, GlobalAveragePool, Isa,
    PixelTables, Quantization, Requantization, SpecError, Workers, Workspace,
};

/// One layer, with the slots that its tensors are in.
pub struct Layer {
    /// What it is and its shape.
    pub name: String,
    /// Multiply-accumulates, counted as for direct convolution.
    pub work: u64,
    kind: Kind,
    input: usize,
    output: usize,
}

enum Kind {
    Pixels(PixelTables),
    Convolution(Box<Convolution>),
    /// With the other slot.
    Addition(Addition, usize),
    Average(GlobalAveragePool),
    Dense(Box<Dense>),
}

/// A whole network with its memory.
pub struct Stack {
    /// In the order in which they run; the first takes the pixels.
    pub layers: Vec<Layer>,
    slots: Vec<Vec<u8>>,
    logits: Vec<f32>,
    workspace: Workspace,
}

/// The networks that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Network {
    /// Nine 3×3 convolutions, 32×32 pixels
    Cac9,
    /// EfficientNet-Lite0, 224×224 pixels
    EfficientnetLite0,
}

impl Stack {
    /// Builds a network.
    ///
    /// # Errors
    ///
    /// This processor lacks the instructions.
    pub fn new(network: Network, isa: Isa) -> Result<Self, SpecError> {
        match network {
            Network::Cac9 => {
                let mut builder = Builder::new(32, isa)?;
                for index in 0..9 {
                    let outputs = if index < 2 { 64 } else { 128 };
                    let stride = if index % 3 == 2 { 2 } else { 1 };
                    builder.convolve(3, stride, outputs, 1, Activation::Relu)?;
                }
                builder.finish(6)
            }
            Network::EfficientnetLite0 => {
                let mut builder = Builder::new(224, isa)?;
                builder.convolve(3, 2, 32, 1, Activation::Relu6)?;
                let stages = [
                    (1, 3, 1, 1, 16),
                    (2, 3, 2, 6, 24),
                    (2, 5, 2, 6, 40),
                    (3, 3, 2, 6, 80),
                    (3, 5, 1, 6, 112),
                    (4, 5, 2, 6, 192),
                    (1, 3, 1, 6, 320),
                ];
                for (repeats, kernel, first_stride, expansion, outputs) in stages {
                    for repeat in 0..repeats {
                        let begin = (builder.slot, builder.channels);
                        let inner = builder.channels * expansion;
                        if expansion > 1 {
                            builder.convolve(1, 1, inner, 1, Activation::Relu6)?;
                        }
                        let stride = if repeat == 0 { first_stride } else { 1 };
                        builder.convolve(kernel, stride, inner, inner, Activation::Relu6)?;
                        builder.convolve(1, 1, outputs, 1, Activation::None)?;
                        if stride == 1 && begin.1 == outputs {
                            builder.add(begin.0)?;
                        }
                    }
                }
                builder.convolve(1, 1, 1280, 1, Activation::Relu6)?;
                builder.average()?;
                builder.finish(10)
            }
        }
    }

    /// Runs one layer.
    pub fn run_layer(&mut self, index: usize, workers: &Workers) {
        let layer = &self.layers[index];
        let mut output = std::mem::take(&mut self.slots[layer.output]);
        let input = &self.slots[layer.input];
        match &layer.kind {
            Kind::Pixels(tables) => tables.run(input, &mut output, workers),
            Kind::Convolution(layer) => layer.run(input, &mut output, &mut self.workspace, workers),
            Kind::Addition(layer, other) => layer.run(input, &self.slots[*other], &mut output, workers),
            Kind::Average(layer) => layer.run(input, &mut output, &mut self.workspace),
            Kind::Dense(layer) => layer.run_logits(input, &mut self.logits, &mut self.workspace, workers),
        }
        self.slots[layer.output] = output;
    }

    /// Runs all layers.
    pub fn run(&mut self, workers: &Workers) -> &[f32] {
        (0..self.layers.len()).for_each(|index| self.run_layer(index, workers));
        &self.logits
    }
}

struct Builder {
    isa: Isa,
    random: u64,
    side: usize,
    channels: usize,
    slot: usize,
    layers: Vec<Layer>,
    slots: Vec<Vec<u8>>,
}

const TENSOR: Quantization = Quantization { scale: 0.02, zero_point: 117 };

impl Builder {
    fn new(side: usize, isa: Isa) -> Result<Self, SpecError> {
        let mut builder = Self {
            isa,
            random: 1,
            side,
            channels: 3,
            slot: 0,
            layers: Vec::new(),
            slots: vec![vec![0; side * side * 3]],
        };
        builder.slots[0] = (0..side * side * 3).map(|_| builder.number() as u8).collect();
        let tables = PixelTables::normalised(&[0.485; 3], &[0.229; 3], TENSOR)?;
        builder.push("pixels".to_string(), 0, Kind::Pixels(tables), side * side * 3);
        Ok(builder)
    }

    /// Of a linear congruential generator (Knuth's constants).
    fn number(&mut self) -> u32 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as u32
    }

    fn weights(&mut self, count: usize) -> Vec<i8> {
        (0..count).map(|_| self.number() as i8).collect()
    }

    fn push(&mut self, name: String, work: u64, kind: Kind, length: usize) {
        let output = self.slots.len();
        self.slots.push(vec![0; length]);
        self.layers.push(Layer { name, work, kind, input: self.slot, output });
        self.slot = output;
    }

    fn convolve(
        &mut self,
        kernel: usize,
        stride: usize,
        outputs: usize,
        groups: usize,
        activation: Activation,
    ) -> Result<(), SpecError> {
        let side = self.side.div_ceil(stride);
        let total = ((side - 1) * stride + kernel).saturating_sub(self.side);
        let (before, after) = (total / 2, total - total / 2);
        let spec = ConvolutionSpec {
            height: self.side,
            width: self.side,
            channels: self.channels,
            outputs,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [before, before, after, after],
            groups,
        };
        let taps = kernel * kernel * self.channels / groups;
        let weights = self.weights(taps * outputs);
        let requantization = Requantization {
            input: TENSOR,
            weight_scales: &vec![0.2 / (taps as f32).sqrt() / 50.0; outputs],
            output: TENSOR,
            activation,
        };
        let bias = vec![100; outputs];
        let layer = Convolution::new(spec, &weights, &bias, &requantization, self.isa)?;
        let name = format!(
            "{:?} {kernel}x{kernel}/{stride} {from}x{from}x{} to {side}x{side}x{outputs}",
            layer.method(),
            self.channels,
            from = self.side
        );
        self.side = side;
        self.channels = outputs;
        let kind = Kind::Convolution(Box::new(layer));
        self.push(name, spec.multiply_accumulates(), kind, side * side * outputs);
        Ok(())
    }

    fn add(&mut self, other: usize) -> Result<(), SpecError> {
        let layer = Addition::new([TENSOR; 2], TENSOR, &Activation::None, self.isa)?;
        let length = self.slots[self.slot].len();
        self.push(format!("Addition of {length}"), 0, Kind::Addition(layer, other), length);
        Ok(())
    }

    fn average(&mut self) -> Result<(), SpecError> {
        let pixels = self.side * self.side;
        let layer = GlobalAveragePool::new(pixels, self.channels, TENSOR, TENSOR, self.isa)?;
        self.side = 1;
        self.push(format!("Average of {pixels}x{}", self.channels), 0, Kind::Average(layer), self.channels);
        Ok(())
    }

    fn finish(mut self, logits: usize) -> Result<Stack, SpecError> {
        let spec =
            DenseSpec { height: self.side, width: self.side, channels: self.channels, outputs: logits };
        let inputs = self.side * self.side * self.channels;
        let weights = self.weights(inputs * logits);
        let layer = Dense::with_logits(spec, &weights, &[], TENSOR, &[0.01], self.isa)?;
        let work = (inputs * logits) as u64;
        self.push(format!("Dense {inputs} to {logits}"), work, Kind::Dense(Box::new(layer)), 0);
        Ok(Stack {
            layers: self.layers,
            slots: self.slots,
            logits: vec![0.0; logits],
            workspace: Workspace::default(),
        })
    }
}
