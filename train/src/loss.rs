//! What a training makes small: the Class Anchor Clustering loss (paper, section 3.2), the same with
//! anchors that are learned too, and the cross-entropy that it is compared with.

use tch::{Device, Kind, Tensor};

/// Which loss, as on the command line.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Class Anchor Clustering: anchors α·e_j that stay where they are (the paper's)
    #[default]
    Cac,
    /// The same, with anchors that start there and are learned
    CacLearnt,
    /// Softmax cross-entropy: what everybody else trains; for comparison
    CrossEntropy,
}

impl Loss {
    /// The name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Loss::Cac => "cac",
            Loss::CacLearnt => "cac-learnt",
            Loss::CrossEntropy => "cross-entropy",
        }
    }
}

/// Name of the variable that learned anchors are.
pub const ANCHORS: &str = "anchors";

/// The anchors α·e_j of so many classes, a row each.
pub fn fixed_anchors(classes: i64) -> Tensor {
    Tensor::eye(classes, (Kind::Float, Device::Cpu)) * ANCHOR_MAGNITUDE
}

/// α, the distance of each anchor from the origin of logit space (paper, section 4.1).
pub const ANCHOR_MAGNITUDE: f64 = 10.0;

/// λ, the weight of the anchor loss (paper, section 4.1).
pub const ANCHOR_WEIGHT: f64 = 0.1;

/// Euclidean distances (B×M) of logits (B×N) to centres (M×N).
pub fn distances(logits: &Tensor, centres: &Tensor) -> Tensor {
    let difference = logits.unsqueeze(1) - centres.unsqueeze(0);
    // The small number keeps the gradient finite where a picture sits on its centre.
    (difference.square().sum_dim_intlist([2i64].as_slice(), false, None) + 1e-12).sqrt()
}

/// `L = L_T + λ·L_A` of a batch: distances (B×N) to the anchors and true classes (B, integers).
///
/// `L_T` is the mean of `log(1 + Σ_{j≠y} exp(d_y − d_j))` (equation 4), which is the cross-entropy
/// of `softmax(−d)`; `L_A` is the mean distance to the true class's anchor (equation 5).
pub fn class_anchor_loss(distances: &Tensor, classes: &Tensor) -> Tensor {
    let tuplet = distances.neg().log_softmax(-1, distances.kind()).nll_loss(classes);
    let anchor = distances.gather(1, &classes.unsqueeze(1), false).mean(None);
    tuplet + anchor * ANCHOR_WEIGHT
}

/// What pictures of no class cost: how far the class probabilities (the softmax of B×N `evidence`: logits,
/// or distances with the sign turned) are from all the same. 0 when they are.
pub fn undecided_loss(evidence: &Tensor) -> Tensor {
    let classes = evidence.size()[1] as f64;
    -evidence.log_softmax(-1, evidence.kind()).mean(None) - classes.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_the_papers_formula() {
        let logits = [[9.0f64, 1.0, -0.5], [0.5, 7.0, 2.0]];
        let classes = [0usize, 2];
        let mut expected = 0.0;
        for (row, &class) in logits.iter().zip(&classes) {
            let d: Vec<f64> = (0..3)
                .map(|j| {
                    let anchor = |i: usize| if i == j { ANCHOR_MAGNITUDE } else { 0.0 };
                    row.iter().enumerate().map(|(i, x)| (x - anchor(i)).powi(2)).sum::<f64>().sqrt()
                })
                .collect();
            let others: f64 = (0..3).filter(|&j| j != class).map(|j| (d[class] - d[j]).exp()).sum();
            expected += ((1.0 + others).ln() + ANCHOR_WEIGHT * d[class]) / 2.0;
        }
        let tensor = Tensor::from_slice2(&logits);
        let anchors = Tensor::eye(3, (tch::Kind::Double, tch::Device::Cpu)) * ANCHOR_MAGNITUDE;
        let loss = class_anchor_loss(&distances(&tensor, &anchors), &Tensor::from_slice(&[0i64, 2]));
        let loss = loss.double_value(&[]);
        assert!((loss - expected).abs() < 1e-9, "{loss} is not {expected}");
    }

    #[test]
    fn undecided_is_free_and_decided_is_dear() {
        let cost = |evidence: &[[f32; 3]]| undecided_loss(&Tensor::from_slice2(evidence)).double_value(&[]);
        assert!(cost(&[[-7.0; 3], [2.0; 3]]).abs() < 1e-6);
        assert!(cost(&[[0.0, -1.0, 0.0]]) > 0.01);
        assert!(cost(&[[0.0, -9.0, -9.0]]) > 3.0);
    }

    #[test]
    fn gradient_is_finite_on_the_anchor() {
        let logits = Tensor::from_slice2(&[[10.0f32, 0.0], [0.0, 3.0]]).set_requires_grad(true);
        let anchors = Tensor::eye(2, (tch::Kind::Float, tch::Device::Cpu)) * ANCHOR_MAGNITUDE;
        class_anchor_loss(&distances(&logits, &anchors), &Tensor::from_slice(&[0i64, 1])).backward();
        assert!(logits.grad().isfinite().all().int64_value(&[]) == 1);
    }
}
