//! Which class pictures are taken for, and which are flagged as unknown.

use crate::deploy::{Judged, Report};
use anchorwatch_core::Verdict;
use maud::{Markup, html};

/// The section of the page, of the int8 file.
pub fn section(report: &Report) -> Markup {
    let classes = &report.metadata.classes;
    let counts = counts(classes.len(), &report.known, report.unknown.as_ref());
    let names = classes.iter().map(|class| (class.as_str(), true)).chain([("unknown things", false)]);
    html! {
        section #confusion {
            h2 { "Confusion matrix" }
            p.hint {
                "Pictures by what they are (rows) and what the int8 file says at its threshold (columns). "
                span.known { "What is right" }
                " lies on the diagonal, and for unknown things in the last column; the stronger the colour, the "
                "larger its share of the row."
            }
            @if report.unknown.is_none() { p { "There are no unknown pictures: give some with --unknown." } }
            div.wide {
                table.matrix {
                    thead {
                        tr {
                            td {}
                            @for class in classes { th scope="col" { (class) } }
                            th scope="col" { "flagged as unknown" }
                        }
                    }
                    tbody {
                        @for (row, (counts, (name, is_class))) in counts.iter().zip(names).enumerate() {
                            tr {
                                th scope="row" { @if is_class { (name) } @else { em { (name) } } }
                                @for (column, &count) in counts.iter().enumerate() {
                                    (cell(count, counts.iter().sum(), row == column))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cell(count: usize, of: usize, right: bool) -> Markup {
    let share = 100.0 * count as f64 / of.max(1) as f64;
    let kind = if right { "right" } else { "wrong" };
    html! {
        @if count == 0 {
            td.none { "0" }
        } @else {
            td class=(kind) style=(format!("--share:{share:.1}%")) title=(format!("{share:.1} % of {of}")) {
                (count)
            }
        }
    }
}

/// For each class, and then for unknown things if there are any: how many pictures of it are taken for each
/// class, and how many are flagged.
fn counts(classes: usize, known: &Judged, unknown: Option<&Judged>) -> Vec<Vec<usize>> {
    let column = |verdict: &Verdict| verdict.class.filter(|_| !verdict.is_unknown()).unwrap_or(classes);
    let mut counts = vec![vec![0; classes + 1]; classes];
    for (verdict, &class) in known.verdicts.iter().zip(&known.classes) {
        counts[class][column(verdict)] += 1;
    }
    if let Some(unknown) = unknown {
        let mut row = vec![0; classes + 1];
        unknown.verdicts.iter().for_each(|verdict| row[column(verdict)] += 1);
        counts.push(row);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::judged;

    #[test]
    fn accepted_ones_are_under_their_class_and_flagged_ones_last() {
        // True class, class it was given, score ÷ threshold.
        let known =
            judged(&[(0, Some(0), 0.5), (0, Some(1), 0.9), (1, Some(0), 1.1), (1, None, f32::INFINITY)]);
        let unknown = judged(&[(0, Some(1), 1.0), (0, Some(1), 2.0), (0, Some(0), 3.0)]);
        assert_eq!(counts(2, &known, None), [[1, 1, 0], [0, 0, 2]]);
        assert_eq!(counts(2, &known, Some(&unknown))[2], [0, 1, 2]);
    }
}
