//! The class centres: a checked view of M×N numbers. How they came about (anchors `α·e_j`, or
//! the mean logits of each class) is the trainer's affair.

use core::fmt;
use core::num::NonZeroUsize;

/// The centres of M classes in the space of N logits, row after row, borrowed.
///
/// M may be larger than N: a class enrolled in the field adds a centre but no logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Centres<'a> {
    values: &'a [f32],
    /// Not zero, and the compiler knows it: dividing by it cannot panic.
    logits: NonZeroUsize,
}

impl<'a> Centres<'a> {
    /// Takes `values` as rows of `logits` numbers each, one row a class.
    ///
    /// # Errors
    ///
    /// When there is no row, when the last row is not whole, or when a number is NaN or
    /// infinite.
    pub fn new(values: &'a [f32], logits: usize) -> Result<Self, CentresError> {
        let Some(count) = NonZeroUsize::new(logits) else { return Err(CentresError::NoLogits) };
        if values.is_empty() {
            return Err(CentresError::NoClasses);
        }
        if !values.len().is_multiple_of(logits) {
            return Err(CentresError::NotWhole { values: values.len(), logits });
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(CentresError::NotFinite { class: at / logits, logit: at % logits });
        }
        Ok(Self { values, logits: count })
    }

    /// M, the number of classes. At least 1.
    pub fn classes(&self) -> usize {
        self.values.len() / self.logits
    }

    /// N, the number of logits. At least 1.
    pub fn logits(&self) -> usize {
        self.logits.get()
    }

    /// The centre of one class: N numbers.
    ///
    /// # Panics
    ///
    /// When `class` is not below [`classes`](Self::classes).
    pub fn row(&self, class: usize) -> &'a [f32] {
        &self.values[class * self.logits.get()..][..self.logits.get()]
    }

    /// The centres of all classes, one after the other: N numbers each.
    pub fn rows(&self) -> core::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.logits.get())
    }

    /// All M×N numbers, row after row.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }
}

/// Why numbers are no class centres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CentresError {
    /// A centre was said to have zero logits.
    NoLogits,
    /// There is not one centre.
    NoClasses,
    /// The numbers do not fill whole rows.
    NotWhole {
        /// How many numbers there are.
        values: usize,
        /// How many belong in a row.
        logits: usize,
    },
    /// A number is NaN or infinite.
    NotFinite {
        /// The class (row) it is in.
        class: usize,
        /// The logit (column) it is in.
        logit: usize,
    },
}

impl fmt::Display for CentresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoLogits => f.write_str("class centres need at least one logit"),
            Self::NoClasses => f.write_str("there is no class centre: at least one is needed"),
            Self::NotWhole { values, logits } => {
                write!(f, "{values} numbers are not whole centres of {logits} logits each")
            }
            Self::NotFinite { class, logit } => {
                write!(f, "the centre of class {class} is not finite at logit {logit}")
            }
        }
    }
}

impl core::error::Error for CentresError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn rows_come_back_as_they_went_in() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let centres = Centres::new(&values, 2).unwrap();
        assert_eq!((centres.classes(), centres.logits()), (3, 2));
        assert_eq!(centres.row(2), [5.0, 6.0]);
    }

    #[test]
    fn what_is_no_matrix_is_refused() {
        assert_eq!(Centres::new(&[1.0], 0), Err(CentresError::NoLogits));
        assert_eq!(Centres::new(&[], 3), Err(CentresError::NoClasses));
        assert_eq!(Centres::new(&[1.0; 7], 3), Err(CentresError::NotWhole { values: 7, logits: 3 }));
        let error = Centres::new(&[1.0, 2.0, 3.0, f32::NAN], 2).unwrap_err();
        assert_eq!(error, CentresError::NotFinite { class: 1, logit: 1 });
        assert_eq!(error.to_string(), "the centre of class 1 is not finite at logit 1");
    }
}
