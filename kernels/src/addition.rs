//! The sum of two tensors of the same shape: the end of a residual block.

use crate::channels::Output;
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::kernel::Kernel;
use crate::quantization::{Activation, Quantization, SpecError};
use crate::workers::Workers;

/// Fewer bytes than that are not worth another worker.
const BYTES_A_WORKER: usize = 8 * 1024;

/// An addition, ready to run. In steps of the output the sum is `a·s_a + b·s_b`: `a` and `b` less
/// their zero points, the factors (scale / output scale) computed in f64 and rounded to f32, then
/// two f32 multiplications and one f32 addition.
pub struct Addition {
    kernel: &'static Kernel,
    terms: Terms,
}

/// What the versions need.
pub(crate) struct Terms {
    pub(crate) multipliers: [f32; 2],
    pub(crate) zero_points: [i32; 2],
    pub(crate) output: Output,
}

impl Addition {
    /// For tensors with these quantizations.
    ///
    /// # Errors
    ///
    /// [`SpecError`] says what is wrong with the description.
    pub fn new(
        inputs: [Quantization; 2],
        output: Quantization,
        activation: &Activation,
        isa: Isa,
    ) -> Result<Self, SpecError> {
        if !isa.is_available() {
            return Err(SpecError::Instructions(isa));
        }
        inputs.into_iter().try_for_each(Quantization::check)?;
        let terms = Terms {
            output: Output::new(output, activation)?,
            multipliers: inputs.map(|input| (f64::from(input.scale) / f64::from(output.scale)) as f32),
            zero_points: inputs.map(|input| i32::from(input.zero_point)),
        };
        // Twice 255 steps must stay a number.
        if terms.multipliers.iter().any(|multiplier| *multiplier > f32::MAX / 512.0) {
            return Err(SpecError::Scale);
        }
        Ok(Self { kernel: isa.kernel(), terms })
    }

    /// Computes the sum of two tensors.
    ///
    /// # Panics
    ///
    /// If the slices differ in length.
    pub fn run(&self, a: &[u8], b: &[u8], output: &mut [u8], workers: &Workers) {
        assert!(a.len() == b.len() && a.len() == output.len(), "tensors of different lengths");
        let jobs = (a.len() / BYTES_A_WORKER).clamp(1, workers.count());
        let size = a.len().div_ceil(jobs).next_multiple_of(64);
        let output = Disjoint::new(output);
        workers.run(jobs, &|job, _| {
            let start = (job * size).min(a.len());
            let end = (start + size).min(a.len());
            // SAFETY: the jobs' parts do not overlap.
            let results = unsafe { output.part(start, end - start) };
            // SAFETY: the instructions were available when the layer was made.
            unsafe { (self.kernel.add)(&a[start..end], &b[start..end], results, &self.terms) };
            self.terms.output.look_up(results);
        });
    }
}

/// One value without the table: the reference of all versions.
#[inline(always)]
pub(crate) fn add(a: u8, b: u8, terms: &Terms) -> u8 {
    let term =
        |q: u8, index: usize| (i32::from(q) - terms.zero_points[index]) as f32 * terms.multipliers[index];
    let steps = term(a, 0) + term(b, 1);
    terms.output.round(if steps < 0.0 { steps * terms.output.slope } else { steps })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use proptest::prelude::*;
    use std::vec;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 8 } else { 200 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn all_versions_equal_the_reference(
            tensors in prop::collection::vec(any::<(u8, u8)>(), 0..300),
            scales in [0.01f32..1.0, 0.01f32..1.0, 0.01f32..1.0],
            zero_points in any::<[u8; 3]>(),
            activation in prop::sample::select(vec![
                Activation::None, Activation::Relu, Activation::Relu6, Activation::LeakyRelu(0.3),
                Activation::Table(std::boxed::Box::new(core::array::from_fn(|index| 255 - index as u8))),
            ]),
            workers in 1usize..3,
        ) {
            let [a, b, output] =
                core::array::from_fn(|i| Quantization { scale: scales[i], zero_point: zero_points[i] });
            let (left, right): (std::vec::Vec<u8>, std::vec::Vec<u8>) = tensors.iter().copied().unzip();
            let mut expected = None;
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let layer = Addition::new([a, b], output, &activation, isa).unwrap();
                let mut results = vec![0; left.len()];
                layer.run(&left, &right, &mut results, &Workers::new(workers));
                for ((&byte, &x), &y) in results.iter().zip(&left).zip(&right) {
                    let real = |q: u8, of: Quantization| {
                        (f64::from(q) - f64::from(of.zero_point)) * f64::from(of.scale)
                    };
                    let sum = real(x, a) + real(y, b);
                    let steps = reference::activate(sum, &activation) / f64::from(output.scale);
                    // What f32 loses is measured by the terms, not by their sum.
                    let near = [-1e-4, 0.0, 1e-4].map(|error| {
                        reference::is_quantized(byte, steps + error, output, &activation)
                    });
                    prop_assert!(near.contains(&true), "{byte} for {steps} steps");
                }
                prop_assert_eq!(expected.get_or_insert_with(|| results.clone()), &results);
            }
        }
    }

    #[test]
    fn large_tensors_are_shared_between_workers() {
        let quantization = |scale| Quantization { scale, zero_point: 7 };
        let a: std::vec::Vec<u8> = (0..50_001u32).map(|index| (index * 7) as u8).collect();
        let b: std::vec::Vec<u8> = (0..50_001u32).map(|index| ((index * 13) >> 3) as u8).collect();
        let inputs = [quantization(0.1), quantization(0.23)];
        let layer = Addition::new(inputs, quantization(0.3), &Activation::None, Isa::detect()).unwrap();
        let run = |workers: &Workers| {
            let mut results = vec![0; a.len()];
            layer.run(&a, &b, &mut results, workers);
            results
        };
        let expected: std::vec::Vec<u8> = a.iter().zip(&b).map(|(&a, &b)| add(a, b, &layer.terms)).collect();
        assert!(run(&Workers::one()) == expected && run(&Workers::new(3)) == expected);
    }
}
