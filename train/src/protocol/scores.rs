//! The rejection scores that are compared: each turns what a network gives for a picture into one
//! number, larger = more unknown.

use super::evidence::{Evidence, Sample};
use crate::calibration::distances;
use crate::temperature;
use tch::{Kind, Tensor};

/// Neighbours of the KNN score, at most (Sun et al., arXiv 2204.06507, take 50 for CIFAR-10).
const NEIGHBOURS: i64 = 50;

/// Pictures whose similarities are computed at a time.
const QUERIES: i64 = 512;

/// Share of the mean variance that is added to each direction, so that the covariance has an inverse.
const SHRINKAGE: f64 = 1e-3;

/// A rejection score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// min γ, γ = d·(1 − softmin d), d to the class centres (the paper's)
    Gamma,
    /// min γ, γ = d·(1 − softmin(d/T)), T the likeliest for every second of the known pictures that are
    /// measured with; no unknown one has a part in it
    GammaFitted,
    /// min d: the distance alone, to the mean logits of each class (what OpenMax starts from)
    Distance,
    /// 1 − the largest softmax probability of the logits
    MaxSoftmax,
    /// − the largest logit (Vaze et al., arXiv 2110.06207)
    MaxLogit,
    /// − log Σ exp logits (Liu et al., arXiv 2010.03759)
    Energy,
    /// Mahalanobis distance to the nearest class mean of the features, one covariance for all (Lee et
    /// al., arXiv 1807.03888)
    Mahalanobis,
    /// Distance to the k-th nearest training picture, features of length 1 (Sun et al.)
    Knn,
}

impl Score {
    /// All of them, in the order of the table.
    pub const ALL: [Score; 8] = [
        Score::Gamma,
        Score::GammaFitted,
        Score::Distance,
        Score::MaxSoftmax,
        Score::MaxLogit,
        Score::Energy,
        Score::Mahalanobis,
        Score::Knn,
    ];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Score::Gamma => "γ (paper)",
            Score::GammaFitted => "γ, temperature fitted",
            Score::Distance => "distance",
            Score::MaxSoftmax => "max softmax",
            Score::MaxLogit => "max logit",
            Score::Energy => "energy",
            Score::Mahalanobis => "Mahalanobis",
            Score::Knn => "KNN",
        }
    }

    /// The scores of known and of unknown pictures.
    pub fn of(self, evidence: &Evidence) -> [Vec<f32>; 2] {
        let queries = [&evidence.known, &evidence.unknown];
        match self {
            Score::Gamma => queries.map(|query| numbers(gamma(&distances(&query.logits, &evidence.centres)))),
            Score::GammaFitted => {
                let of_centres = |query: &Sample| distances(&query.logits, &evidence.centres);
                let classes = Vec::<i64>::try_from(&evidence.known.classes).unwrap_or_default();
                let classes: Vec<usize> = classes.into_iter().map(|class| class as usize).collect();
                let fitted = temperature::fit(&of_centres(&evidence.known), &classes);
                let temperature = fitted.map_or(1.0, |fitted| fitted.temperature);
                queries.map(|query| numbers(gamma(&(of_centres(query) / temperature))))
            }
            Score::Distance => {
                queries.map(|query| numbers(distances(&query.logits, &evidence.centres).amin(-1, false)))
            }
            Score::MaxSoftmax => {
                queries.map(|query| numbers(-query.logits.softmax(-1, Kind::Double).amax(-1, false) + 1.0))
            }
            Score::MaxLogit => queries.map(|query| numbers(-query.logits.amax(-1, false))),
            Score::Energy => queries.map(|query| numbers(-query.logits.logsumexp(-1, false))),
            Score::Mahalanobis => {
                let space = Whitened::of(&evidence.train.features, &evidence.train.classes);
                queries.map(|query| numbers(space.nearest(&query.features)))
            }
            Score::Knn => {
                let bank = unit(&evidence.train.features);
                let k = NEIGHBOURS.min(bank.size()[0]);
                queries.map(|query| numbers(kth_distance(&unit(&query.features), &bank, k)))
            }
        }
    }
}

fn numbers(scores: Tensor) -> Vec<f32> {
    // One dimension of floats: there is nothing that could fail.
    Vec::try_from(scores.to_kind(Kind::Float).contiguous()).unwrap_or_default()
}

/// min d·(1 − softmin d) of each row. 1 − softmin is summed from the others, since it is tiny for
/// what is known.
fn gamma(distances: &Tensor) -> Tensor {
    let softmin = (-distances.to_kind(Kind::Double)).softmax(-1, Kind::Double);
    let classes = softmin.size()[1];
    let others = Tensor::ones([classes, classes], (Kind::Double, tch::Device::Cpu))
        - Tensor::eye(classes, (Kind::Double, tch::Device::Cpu));
    (distances * softmin.matmul(&others)).amin(-1, false)
}

/// The space in which the features' covariance within classes is 1.
struct Whitened {
    factor: Tensor,
    means: Tensor,
}

impl Whitened {
    fn of(features: &Tensor, classes: &Tensor) -> Self {
        let features = features.to_kind(Kind::Double);
        let count = classes.max().int64_value(&[]) + 1;
        let means: Vec<Tensor> = (0..count)
            .map(|class| {
                let rows = features.index_select(0, &classes.eq(class).nonzero().view([-1]));
                rows.mean_dim([0i64].as_slice(), false, None)
            })
            .collect();
        let means = Tensor::stack(&means, 0);
        let centred = &features - means.index_select(0, classes);
        let size = features.size()[1];
        let covariance = centred.tr().matmul(&centred) / features.size()[0] as f64;
        let spread = covariance.diagonal(0, 0, 1).mean(None).double_value(&[]).max(1e-12) * SHRINKAGE;
        let covariance = covariance + Tensor::eye(size, (Kind::Double, tch::Device::Cpu)) * spread;
        let factor = covariance.linalg_cholesky(false);
        let means = whiten(&factor, &means);
        Self { factor, means }
    }

    fn nearest(&self, features: &Tensor) -> Tensor {
        distances(&whiten(&self.factor, &features.to_kind(Kind::Double)), &self.means).amin(-1, false)
    }
}

/// Rows x to L⁻¹·x.
fn whiten(factor: &Tensor, rows: &Tensor) -> Tensor {
    factor.linalg_solve_triangular(&rows.tr(), false, true, false).tr()
}

fn unit(features: &Tensor) -> Tensor {
    let length = features.square().sum_dim_intlist([1i64].as_slice(), true, None).sqrt();
    features / length.clamp_min(1e-12)
}

/// Distance of each row of length 1 to its k-th nearest in the bank.
fn kth_distance(queries: &Tensor, bank: &Tensor, k: i64) -> Tensor {
    let transposed = bank.tr();
    let parts: Vec<Tensor> = queries
        .split(QUERIES, 0)
        .iter()
        .map(|part| {
            let (similarities, _) = part.matmul(&transposed).topk(k, -1, true, true);
            let kth = similarities.select(1, k - 1);
            (kth * -2.0 + 2.0).clamp_min(0.0).sqrt()
        })
        .collect();
    Tensor::cat(&parts, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_core::{Centres, Scorer};
    use rand::{Rng, SeedableRng};

    fn sample(rows: &[[f32; 3]], classes: &[i64]) -> Sample {
        let rows = Tensor::from_slice2(rows);
        Sample { features: rows.shallow_clone(), logits: rows, classes: Tensor::from_slice(classes) }
    }

    fn random(seed: u64, count: usize, middle: [f32; 3]) -> Vec<[f32; 3]> {
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        (0..count).map(|_| middle.map(|value| value + random.random_range(-1.0..1.0))).collect()
    }

    fn evidence() -> Evidence {
        let mut train = random(1, 60, [5.0, 0.0, 0.0]);
        train.extend(random(2, 60, [0.0, 5.0, 0.0]));
        let classes: Vec<i64> = (0..120).map(|row| i64::from(row >= 60)).collect();
        let mut known = random(3, 10, [5.0, 0.0, 0.0]);
        known.extend(random(4, 10, [0.0, 5.0, 0.0]));
        Evidence {
            train: sample(&train, &classes),
            known: sample(&known, &(0..20).map(|row| i64::from(row >= 10)).collect::<Vec<_>>()),
            unknown: sample(&random(5, 15, [1.0, 1.0, 1.0]), &[0; 15]),
            centres: Tensor::from_slice2(&[[5.0f32, 0.0, 0.0], [0.0, 5.0, 0.0]]),
            by_distance: true,
        }
    }

    #[test]
    fn gamma_and_distance_are_those_of_the_runtime() {
        let evidence = evidence();
        let centres = [5.0, 0.0, 0.0, 0.0, 5.0, 0.0];
        let scorer = Scorer::new(Centres::new(&centres, 3).unwrap());
        let [gammas, _] = Score::Gamma.of(&evidence);
        let [nearest, _] = Score::Distance.of(&evidence);
        let rows = Vec::<Vec<f32>>::try_from(&evidence.known.logits).unwrap();
        for ((row, gamma), nearest) in rows.iter().zip(gammas).zip(nearest) {
            let mut distances = [0.0; 2];
            let verdict = scorer.score(row, 1.0, &mut distances).unwrap();
            assert!(
                (verdict.score - gamma).abs() <= 1e-4 * (1e-3 + gamma.abs()),
                "{gamma} {}",
                verdict.score
            );
            assert!((distances[0].min(distances[1]) - nearest).abs() < 1e-4);
        }
    }

    #[test]
    fn mahalanobis_and_knn_are_those_of_the_definition() {
        let evidence = evidence();
        let rows =
            |sample: &Sample| Vec::<Vec<f64>>::try_from(sample.features.to_kind(Kind::Double)).unwrap();
        let (train, known) = (rows(&evidence.train), rows(&evidence.known));
        // KNN by sorting.
        let unit = |row: &Vec<f64>| {
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            row.iter().map(|x| x / length).collect::<Vec<_>>()
        };
        let [knn, _] = Score::Knn.of(&evidence);
        for (row, score) in known.iter().zip(knn) {
            let mut distances: Vec<f64> = train
                .iter()
                .map(|other| {
                    unit(row).iter().zip(unit(other)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
                })
                .collect();
            distances.sort_by(f64::total_cmp);
            assert!((distances[NEIGHBOURS as usize - 1] - f64::from(score)).abs() < 1e-3);
        }
        // Scaling an axis of the features changes nothing in Mahalanobis distances.
        let [plain, plain_unknown] = Score::Mahalanobis.of(&evidence);
        let mut stretched = self::evidence();
        let factors = Tensor::from_slice(&[1.0f32, 2.0, 0.7]);
        for sample in [&mut stretched.train, &mut stretched.known, &mut stretched.unknown] {
            sample.features = &sample.features * &factors;
        }
        let [scaled, _] = Score::Mahalanobis.of(&stretched);
        for (one, other) in plain.iter().zip(&scaled) {
            assert!((one - other).abs() < 0.02 * (1.0 + one.abs()), "{one} {other}");
        }
        let mean = |scores: &[f32]| scores.iter().sum::<f32>() / scores.len() as f32;
        assert!(mean(&plain_unknown) > 2.0 * mean(&plain));
    }

    #[test]
    fn every_score_is_larger_for_what_is_unknown() {
        let evidence = evidence();
        for score in Score::ALL {
            let [known, unknown] = score.of(&evidence);
            assert_eq!((known.len(), unknown.len()), (20, 15));
            assert!(anchorwatch::evaluate::auroc(&known, &unknown) > 0.9, "{}", score.name());
        }
    }
}
