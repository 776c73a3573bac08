//! What a layer is, before it is packed: the same description makes the layers of a [`Program`] for
//! any processor and those of a [`FlatProgram`](crate::FlatProgram).

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::{
    Activation, Addition, Convolution, ConvolutionSpec, Dense, DenseSpec, GlobalAveragePool, Isa, MaxPool,
    Operation, PixelTables, Program, Quantization, Requantization, SpecError, Step,
};

/// One layer.
#[derive(Clone, Debug)]
pub enum Description<'a> {
    /// See [`PixelTables`].
    Pixels(PixelTables),
    /// See [`Convolution::new`].
    Convolution {
        /// The shape.
        spec: ConvolutionSpec,
        /// outputs × inputs/groups × kernel height × kernel width
        weights: &'a [i8],
        /// One an output channel, or none.
        bias: &'a [i32],
        /// From sums to bytes.
        requantization: Requantization<'a>,
    },
    /// See [`Dense::new`].
    Dense {
        /// The shape.
        spec: DenseSpec,
        /// outputs × channels × height × width
        weights: &'a [i8],
        /// One an output, or none.
        bias: &'a [i32],
        /// From sums to bytes.
        requantization: Requantization<'a>,
    },
    /// See [`Dense::with_logits`].
    Logits {
        /// The shape.
        spec: DenseSpec,
        /// outputs × channels × height × width
        weights: &'a [i8],
        /// One an output, or none.
        bias: &'a [i32],
        /// The input tensor's.
        input: Quantization,
        /// One for all, or one for each output.
        weight_scales: &'a [f32],
    },
    /// See [`Addition::new`].
    Addition {
        /// The input tensors'.
        inputs: [Quantization; 2],
        /// The output tensor's.
        output: Quantization,
        /// Applied to the sum.
        activation: Activation,
    },
    /// See [`GlobalAveragePool::new`].
    GlobalAveragePool {
        /// Height × width.
        pixels: usize,
        /// Channels.
        channels: usize,
        /// The input tensor's.
        input: Quantization,
        /// The output tensor's.
        output: Quantization,
    },
    /// See [`MaxPool::new`].
    MaxPool(ConvolutionSpec),
    /// Each byte is replaced by what the table says.
    Table(Box<[u8; 256]>),
}

/// One layer with its tensors, by number.
#[derive(Clone, Debug)]
pub struct DescribedStep<'a> {
    /// What it does.
    pub description: Description<'a>,
    /// The tensors that it reads: none, one or two.
    pub inputs: Vec<usize>,
    /// The tensor that it makes; `None` for logits.
    pub output: Option<usize>,
}

impl Description<'_> {
    /// Packs it for a processor.
    ///
    /// # Errors
    ///
    /// [`SpecError`] says what is wrong with the description.
    pub fn pack(&self, isa: Isa) -> Result<Operation, SpecError> {
        Ok(match self {
            Self::Pixels(tables) => Operation::Pixels(tables.clone()),
            Self::Convolution { spec, weights, bias, requantization } => {
                Operation::Convolution(Box::new(Convolution::new(*spec, weights, bias, requantization, isa)?))
            }
            Self::Dense { spec, weights, bias, requantization } => {
                Operation::Dense(Box::new(Dense::new(*spec, weights, bias, requantization, isa)?))
            }
            Self::Logits { spec, weights, bias, input, weight_scales } => Operation::Dense(Box::new(
                Dense::with_logits(*spec, weights, bias, *input, weight_scales, isa)?,
            )),
            Self::Addition { inputs, output, activation } => {
                Operation::Addition(Addition::new(*inputs, *output, activation, isa)?)
            }
            Self::GlobalAveragePool { pixels, channels, input, output } => Operation::GlobalAveragePool(
                GlobalAveragePool::new(*pixels, *channels, *input, *output, isa)?,
            ),
            Self::MaxPool(spec) => Operation::MaxPool(MaxPool::new(*spec, isa)?),
            Self::Table(table) => Operation::Table(table.clone()),
        })
    }
}

impl Program {
    /// A program of described layers, packed for a processor. See [`Program::new`].
    ///
    /// # Errors
    ///
    /// [`SpecError`] says what is wrong with a description.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn pack(
        steps: &[DescribedStep],
        lengths: &[usize],
        kept: &[usize],
        logits: usize,
        isa: Isa,
    ) -> Result<Self, SpecError> {
        let steps = steps.iter().map(|step| {
            let operation = step.description.pack(isa)?;
            Ok(Step { operation, inputs: step.inputs.clone(), output: step.output })
        });
        Ok(Self::new(steps.collect::<Result<_, SpecError>>()?, lengths, kept, logits))
    }
}
