//! The centres in use, in memory, and the scorer over them. How they got here is `store`'s affair.

use anchorwatch_core::link::{MAX_LOGITS, Refusal, UploadHeader};
use anchorwatch_core::{FixedCentres, FixedScorer, Scorer, Verdict, to_fixed};
use heapless::Vec;

use crate::config::Arithmetic;

/// The most classes, M.
pub const MAX_CLASSES: usize = 64;

/// The most numbers, M×N: with their header they fit into 16 KiB of flash memory.
pub const MAX_VALUES: usize = (16 * 1024 - crate::store::HEADER) / 4;

/// The centres in use.
#[derive(Debug)]
pub struct Centres {
    header: Option<UploadHeader>,
    /// The threshold as the fixed scorer wants it.
    fixed_threshold: u32,
    values: Values,
}

/// The numbers, in the board's arithmetic.
#[derive(Debug)]
enum Values {
    Float(Vec<f32, MAX_VALUES>),
    Fixed(Vec<i32, MAX_VALUES>),
}

impl Centres {
    /// No centres.
    pub const fn none(arithmetic: Arithmetic) -> Self {
        let values = match arithmetic {
            Arithmetic::Float => Values::Float(Vec::new()),
            Arithmetic::Fixed => Values::Fixed(Vec::new()),
        };
        Self { header: None, fixed_threshold: 0, values }
    }

    /// What centres they are; `None` when there are none.
    pub fn header(&self) -> Option<UploadHeader> {
        self.header
    }

    /// Whether this number is one that the board's arithmetic can hold.
    pub fn can_hold(&self, number: f32) -> bool {
        match self.values {
            Values::Float(_) => number.is_finite(),
            Values::Fixed(_) => to_fixed(number).is_some(),
        }
    }

    /// Whether this is a threshold: not negative, and one that the board's arithmetic can hold.
    pub fn can_judge_with(&self, threshold: f32) -> bool {
        threshold >= 0.0 && self.can_hold(threshold)
    }

    /// Forgets all centres, to take in others.
    pub fn clear(&mut self) {
        self.header = None;
        match &mut self.values {
            Values::Float(values) => values.clear(),
            Values::Fixed(values) => values.clear(),
        }
    }

    /// Takes the next number in; false when it does not fit.
    pub fn push(&mut self, number: f32) -> bool {
        match &mut self.values {
            Values::Float(values) => number.is_finite() && values.push(number).is_ok(),
            Values::Fixed(values) => to_fixed(number).is_some_and(|number| values.push(number).is_ok()),
        }
    }

    /// Says what the numbers taken in are. They are in use from now on.
    ///
    /// # Errors
    ///
    /// When they are not what the header says.
    pub fn finish(&mut self, header: UploadHeader) -> Result<(), Refusal> {
        let count = match &self.values {
            Values::Float(values) => values.len(),
            Values::Fixed(values) => values.len(),
        };
        if !self.can_judge_with(header.threshold) {
            return Err(Refusal::BadThreshold);
        }
        if count == 0 || count != usize::from(header.classes) * usize::from(header.logits) {
            return Err(Refusal::BadCentres);
        }
        self.fixed_threshold = to_fixed(header.threshold).unwrap_or(0).unsigned_abs();
        self.header = Some(header);
        Ok(())
    }

    /// Judges N logits.
    ///
    /// # Errors
    ///
    /// When there are no centres, or they are for another number of logits.
    pub fn score(&self, logits: &[f32]) -> Result<Verdict, Refusal> {
        let header = self.header.ok_or(Refusal::NoCentres)?;
        let (m, n) = (usize::from(header.classes), usize::from(header.logits));
        let wrong = Refusal::WrongLogits { expected: header.logits };
        if logits.len() != n {
            return Err(wrong);
        }
        match &self.values {
            Values::Float(values) => {
                let centres = anchorwatch_core::Centres::new(values, n).map_err(|_| Refusal::BadCentres)?;
                let mut distances = [0.0; MAX_CLASSES];
                let distances = distances.get_mut(..m).ok_or(Refusal::BadCentres)?;
                Scorer::new(centres).score(logits, header.threshold, distances).map_err(|_| wrong)
            }
            Values::Fixed(values) => {
                let centres = FixedCentres::new(values, n).ok_or(Refusal::BadCentres)?;
                let mut fixed = [0; MAX_LOGITS];
                let fixed = fixed.get_mut(..n).ok_or(wrong)?;
                for (fixed, &logit) in fixed.iter_mut().zip(logits) {
                    match to_fixed(logit) {
                        Some(number) => *fixed = number,
                        None => return Ok(Verdict::not_finite(header.threshold)),
                    }
                }
                let mut distances = [0; MAX_CLASSES];
                let distances = distances.get_mut(..m).ok_or(Refusal::BadCentres)?;
                FixedScorer::new(centres).score(fixed, self.fixed_threshold, distances).map_err(|_| wrong)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_core::Reason;

    const HEADER: UploadHeader =
        UploadHeader { classes: 2, logits: 3, threshold: 1.5, checksum: 0, model: [0; 8] };

    fn centres(arithmetic: Arithmetic) -> Centres {
        let mut centres = Centres::none(arithmetic);
        for number in [5.0, 0.0, 0.0, 0.0, 5.0, 0.0] {
            assert!(centres.push(number));
        }
        centres.finish(HEADER).unwrap();
        centres
    }

    #[test]
    fn both_arithmetics_judge_alike() {
        let (float, fixed) = (centres(Arithmetic::Float), centres(Arithmetic::Fixed));
        for logits in [[5.0, 0.25, 0.0], [0.0, 4.0, 1.0], [1.0, 1.0, 1.0], [-50.0, 3.0, 900.0]] {
            let (float, fixed) = (float.score(&logits).unwrap(), fixed.score(&logits).unwrap());
            assert_eq!((float.class, float.outcome), (fixed.class, fixed.outcome));
            assert!((float.score - fixed.score).abs() < 1e-3 * (1.0 + float.score), "{float:?} {fixed:?}");
        }
    }

    #[test]
    fn logits_that_are_no_numbers_are_unknown() {
        for arithmetic in [Arithmetic::Float, Arithmetic::Fixed] {
            let verdict = centres(arithmetic).score(&[0.0, f32::NAN, 0.0]).unwrap();
            assert_eq!(verdict.outcome, anchorwatch_core::Outcome::Unknown(Reason::NotFinite));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for arithmetic in [Arithmetic::Float, Arithmetic::Fixed] {
            let mut centres = Centres::none(arithmetic);
            assert_eq!(centres.score(&[0.0; 3]), Err(Refusal::NoCentres));
            assert!(!centres.push(f32::NAN));
            assert!(centres.push(1.0));
            assert_eq!(centres.finish(HEADER), Err(Refusal::BadCentres));
            for threshold in [-1.0, f32::NAN, f32::INFINITY] {
                assert_eq!(centres.finish(UploadHeader { threshold, ..HEADER }), Err(Refusal::BadThreshold));
            }
            let whole = super::tests::centres(arithmetic);
            assert_eq!(whole.score(&[0.0; 2]), Err(Refusal::WrongLogits { expected: 3 }));
        }
        assert!(!Centres::none(Arithmetic::Fixed).push(3000.0));
        assert!(Centres::none(Arithmetic::Float).push(3000.0));
    }
}
