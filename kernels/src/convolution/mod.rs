//! Two-dimensional convolution: what the caller sees. How it is computed is in `direct`,
//! `depthwise`, `pairs` and `winograd`.

mod band;
mod depthwise;
mod direct;
mod pairs;
#[cfg(test)]
mod tests;
mod winograd;

pub(crate) use direct::{Direct, Target};
pub(crate) use winograd::{NINTH, POSITIONS};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use winograd::{four, six, transform_input, transform_output};

use crate::aligned::Workspace;
use crate::channels::{Channels, range};
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::kernel::{DepthwiseKernel, Form, Kernel, PairsKernel, TapsKernel, WinogradKernel};
use crate::quantization::{Requantization, SpecError, check_length};
use crate::workers::Workers;
use depthwise::Depthwise;
use pairs::Pairs;
use winograd::Winograd;

/// The shape of a convolution. Tensors are height × width × channels, channels last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionSpec {
    /// Input height in pixels.
    pub height: usize,
    /// Input width in pixels.
    pub width: usize,
    /// Input channels.
    pub channels: usize,
    /// Output channels.
    pub outputs: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Rows and columns of zeros around the input: top, left, bottom, right, as in ONNX.
    pub padding: [usize; 4],
    /// Groups that the channels are divided into; as many as channels for a depthwise one.
    pub groups: usize,
}

impl ConvolutionSpec {
    /// Output height and width.
    ///
    /// # Errors
    ///
    /// The kernel does not fit, or a stride is 0.
    pub fn output_size(&self) -> Result<[usize; 2], SpecError> {
        let [top, left, bottom, right] = self.padding;
        let side = |size: usize, before: usize, after: usize, kernel: usize, stride: usize| {
            let padded = size.checked_add(before).and_then(|sum| sum.checked_add(after));
            let padded = padded.ok_or(SpecError::Size)?;
            // A window must not lie wholly in the padding: that would be a mistake in the model.
            if kernel == 0 || padded < kernel || before >= kernel || after >= kernel {
                return Err(SpecError::Kernel);
            }
            if stride == 0 {
                return Err(SpecError::Size);
            }
            Ok((padded - kernel) / stride + 1)
        };
        Ok([
            side(self.height, top, bottom, self.kernel[0], self.stride[0])?,
            side(self.width, left, right, self.kernel[1], self.stride[1])?,
        ])
    }

    /// Multiplications and additions of one run, counted as without Winograd.
    pub fn multiply_accumulates(&self) -> u64 {
        let [height, width] = self.output_size().unwrap_or_default();
        let taps = self.kernel[0] * self.kernel[1] * (self.channels / self.groups.max(1));
        height as u64 * width as u64 * self.outputs as u64 * taps as u64
    }

    /// Whether each channel has its own kernel and nothing else.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups == self.channels && self.outputs == self.channels && self.groups > 1
    }

    /// Checks everything but what concerns the weights.
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        let [height, width] = self.output_size()?;
        let product = |sizes: &[usize]| {
            let all = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
            // Room for padding and 32-bit intermediates of all methods.
            all.filter(|&all| all > 0 && all <= isize::MAX as usize / 64).ok_or(SpecError::Size)
        };
        product(&[self.height, self.width, self.channels])?;
        product(&[height, width, self.outputs])?;
        product(&[self.kernel[0], self.kernel[1], self.channels, self.outputs])?;
        product(&[self.height + self.kernel[0], self.width + self.kernel[1], self.channels])?;
        if self.groups == 0
            || !self.channels.is_multiple_of(self.groups)
            || !self.outputs.is_multiple_of(self.groups)
        {
            return Err(SpecError::Groups);
        }
        Ok(())
    }
}

/// How a convolution is computed. The results are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// As a product of matrices.
    Direct,
    /// Channel by channel.
    Depthwise,
    /// With fewer multiplications, for 3×3 and stride 1.
    Winograd,
}

/// A convolution, ready to run: weights packed, method chosen.
pub struct Convolution {
    spec: ConvolutionSpec,
    output_size: [usize; 2],
    kernel: &'static Kernel,
    channels: Channels,
    plan: Plan,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Depthwise, Self::Winograd];
}

enum Plan {
    Direct(Direct),
    Depthwise(Depthwise, &'static TapsKernel),
    Pairs(Pairs, &'static PairsKernel),
    Winograd(Winograd, &'static WinogradKernel),
}

impl Convolution {
    /// Chooses the fastest method for the shape and packs the weights.
    ///
    /// `weights` are output channels × (input channels / groups) × kernel height × kernel width,
    /// as in ONNX; `bias` has one value for each output channel, in steps of `input scale·weight
    /// scale`, or is empty.
    ///
    /// # Errors
    ///
    /// [`SpecError`] says what is wrong with the description.
    pub fn new(
        spec: ConvolutionSpec,
        weights: &[i8],
        bias: &[i32],
        requantization: &Requantization,
        isa: Isa,
    ) -> Result<Self, SpecError> {
        let best = if spec.is_depthwise() {
            Some(Method::Depthwise)
        } else {
            (spec.check().is_ok() && Winograd::pays(&spec)).then_some(Method::Winograd)
        };
        if let Some(method) = best {
            match Self::with_method(spec, weights, bias, requantization, isa, method) {
                Err(SpecError::Method) => {}
                result => return result,
            }
        }
        Self::with_method(spec, weights, bias, requantization, isa, Method::Direct)
    }

    /// As [`Self::new`], with a method of the caller's: for tests and comparisons.
    ///
    /// # Errors
    ///
    /// As there, and [`SpecError::Method`] where the method does not fit.
    pub fn with_method(
        spec: ConvolutionSpec,
        weights: &[i8],
        bias: &[i32],
        requantization: &Requantization,
        isa: Isa,
        method: Method,
    ) -> Result<Self, SpecError> {
        spec.check()?;
        let taps = spec.kernel[0] * spec.kernel[1] * (spec.channels / spec.groups);
        check_length("weights", taps * spec.outputs, weights.len())?;
        if !isa.is_available() {
            return Err(SpecError::Instructions(isa));
        }
        let kernel = isa.kernel();
        let sums: alloc::vec::Vec<(i64, i64)> = weights.chunks_exact(taps).map(weight_sums).collect();
        let zero_point = requantization.input.zero_point;
        let (plan, form) = match method {
            Method::Direct => {
                (Plan::Direct(Direct::new(&spec, weights, zero_point, kernel)), kernel.layout.form)
            }
            Method::Depthwise => {
                let plan = match &kernel.depthwise {
                    DepthwiseKernel::Taps(taps) if spec.is_depthwise() => {
                        Plan::Depthwise(Depthwise::new(&spec, weights, zero_point, taps), taps)
                    }
                    DepthwiseKernel::Pairs(pairs) if Pairs::fits(&spec) => {
                        Plan::Pairs(Pairs::new(&spec, weights, zero_point, pairs), pairs)
                    }
                    _ => return Err(SpecError::Method),
                };
                (plan, kernel.depthwise.form())
            }
            Method::Winograd => {
                let ranges = sums.iter().map(|&sums| range(sums, zero_point));
                let Some(winograd) = kernel.winograd.as_ref().filter(|_| Winograd::fits(&spec, ranges))
                else {
                    return Err(SpecError::Method);
                };
                let plan = Winograd::new(&spec, weights, zero_point, winograd);
                (Plan::Winograd(plan, winograd), Form::I16)
            }
        };
        let channels = Channels::new(requantization, bias, &sums, form.offset(zero_point))?;
        Ok(Self { output_size: spec.output_size()?, spec, kernel, channels, plan })
    }

    /// The shape.
    pub fn spec(&self) -> &ConvolutionSpec {
        &self.spec
    }

    /// Output height and width.
    pub fn output_size(&self) -> [usize; 2] {
        self.output_size
    }

    /// How it is computed.
    pub fn method(&self) -> Method {
        match self.plan {
            Plan::Direct(_) => Method::Direct,
            Plan::Depthwise(..) | Plan::Pairs(..) => Method::Depthwise,
            Plan::Winograd(..) => Method::Winograd,
        }
    }

    /// What it takes of the [`Workspace`] with so many workers.
    pub fn workspace_bytes(&self, workers: usize) -> usize {
        match &self.plan {
            Plan::Direct(direct) => direct.workspace_bytes(workers),
            Plan::Depthwise(plan, _) => plan.workspace_bytes(workers),
            Plan::Pairs(plan, _) => plan.workspace_bytes(workers),
            Plan::Winograd(plan, winograd) => plan.workspace_bytes(winograd, workers),
        }
    }

    /// Computes the layer: `input` is height × width × channels, `output` likewise.
    ///
    /// # Panics
    ///
    /// If the slices have other lengths.
    pub fn run(&self, input: &[u8], output: &mut [u8], workspace: &mut Workspace, workers: &Workers) {
        let spec = &self.spec;
        assert_eq!(input.len(), spec.height * spec.width * spec.channels, "length of the input");
        let [height, width] = self.output_size;
        assert_eq!(output.len(), height * width * spec.outputs, "length of the output");
        let room = workspace.room(self.workspace_bytes(workers.count()));
        let room = &Disjoint::new(room);
        let output = Disjoint::new(output);
        match &self.plan {
            Plan::Direct(direct) => {
                direct.run(self.kernel, input, &Target::Bytes(&output, &self.channels), room, workers);
            }
            Plan::Depthwise(plan, taps) => {
                plan.run(taps, input, &output, &self.channels, room, workers);
            }
            Plan::Pairs(plan, pairs) => plan.run(pairs, input, &output, &self.channels, room, workers),
            Plan::Winograd(plan, winograd) => {
                plan.run(winograd, input, &output, &self.channels, room, workers);
            }
        }
    }
}

/// The sum of one output channel's weights, and of their magnitudes.
pub(crate) fn weight_sums(weights: &[i8]) -> (i64, i64) {
    weights.iter().fold((0, 0), |(sum, magnitude), &weight| {
        (sum + i64::from(weight), magnitude + i64::from(weight).abs())
    })
}
