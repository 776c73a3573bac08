//! Directions: what is left of vectors when their lengths are not looked at.

/// Directions of vectors with the same number of dimensions.
#[derive(Clone, Debug)]
pub struct Directions {
    dimensions: usize,
    rows: Vec<f32>,
}

impl Directions {
    /// None yet, of vectors with `dimensions` numbers.
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions: dimensions.max(1), rows: Vec::new() }
    }

    /// Adds that of a vector. Of none, or of one that is not finite, it is zero, equally far from all.
    ///
    /// # Panics
    /// If it has another number of dimensions.
    pub fn push(&mut self, vector: &[f32]) {
        assert_eq!(vector.len(), self.dimensions, "all vectors have as many dimensions");
        let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let scale = if norm.is_finite() && norm > 1e-6 { 1.0 / norm } else { 0.0 };
        let scaled = |x: &f32| if scale > 0.0 { (f64::from(*x) * scale) as f32 } else { 0.0 };
        self.rows.extend(vector.iter().map(scaled));
    }

    /// Numbers of each vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len() / self.dimensions
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn row(&self, index: usize) -> &[f32] {
        &self.rows[index * self.dimensions..][..self.dimensions]
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.rows.chunks_exact(self.dimensions)
    }
}

/// Squared Euclidean distance: 0 to 4 between directions. Eight sums side by side, which the compiler keeps
/// in one register.
pub(crate) fn squared_distance(one: &[f32], other: &[f32]) -> f32 {
    let (ones, ones_rest) = one.as_chunks::<8>();
    let (others, others_rest) = other.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (one, other) in ones.iter().zip(others) {
        for ((sum, x), y) in sums.iter_mut().zip(one).zip(other) {
            *sum += (x - y) * (x - y);
        }
    }
    let rest: f32 = ones_rest.iter().zip(others_rest).map(|(x, y)| (x - y) * (x - y)).sum();
    sums.iter().sum::<f32>() + rest
}
