//! Verdicts in words. The number is always score ÷ threshold: 1.0 is the line, above it is unknown.

use anchorwatch_core::Verdict;

/// For lines: `known dog 0.42` or `UNKNOWN (most like cat) 1.70`.
pub fn line(verdict: &Verdict, classes: &[String]) -> String {
    let score = relative_score(verdict);
    match verdict.class.and_then(|class| classes.get(class)) {
        Some(class) if verdict.is_unknown() => format!("UNKNOWN (most like {class}) {score}"),
        Some(class) => format!("known {class} {score}"),
        None => "UNKNOWN (the network gave no finite numbers)".to_string(),
    }
}

/// For labels on pictures, where the colour says the rest: `dog 0.42` or `unknown 1.70`.
pub fn label(verdict: &Verdict, classes: &[String]) -> String {
    let score = relative_score(verdict);
    match verdict.class.and_then(|class| classes.get(class)) {
        Some(class) if !verdict.is_unknown() => format!("{class} {score}"),
        _ => format!("unknown {score}"),
    }
}

/// Score ÷ threshold with two digits; with four where two would hide on which side of 1 it is.
pub fn relative_score(verdict: &Verdict) -> String {
    let score = verdict.relative_score();
    if !score.is_finite() {
        "∞".to_string()
    } else if (score - 1.0).abs() < 0.005 {
        format!("{score:.4}")
    } else {
        format!("{score:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_core::judge;

    /// A verdict whose score is so many times the threshold.
    fn verdict(distances: [f32; 2], relative: f32) -> Verdict {
        let score = judge(&distances, 1.0).unwrap().score;
        judge(&distances, score / relative).unwrap()
    }

    #[test]
    fn verdicts_are_worded() {
        let classes = ["cat".to_string(), "dog".to_string()];
        let known = verdict([3.0, 0.84], 0.42);
        assert_eq!(line(&known, &classes), "known dog 0.42");
        assert_eq!(label(&known, &classes), "dog 0.42");
        let unknown = verdict([3.4, 4.0], 1.7);
        assert_eq!(line(&unknown, &classes), "UNKNOWN (most like cat) 1.70");
        assert_eq!(label(&unknown, &classes), "unknown 1.70");
        let broken = Verdict::not_finite(2.0);
        assert_eq!(line(&broken, &classes), "UNKNOWN (the network gave no finite numbers)");
        assert_eq!(label(&broken, &classes), "unknown ∞");
    }

    #[test]
    fn on_which_side_of_the_line_can_be_seen() {
        assert_eq!(relative_score(&verdict([1.0, 2.0], 1.002)), "1.0020");
        assert_eq!(relative_score(&verdict([1.0, 2.0], 0.998)), "0.9980");
    }
}
