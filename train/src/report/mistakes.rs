//! The pictures that are judged wrongly, those nearest to the centre of the class they are taken for
//! first.

use crate::deploy::{Deployment, Judged, Report};
use crate::pictures::Pictures;
use anchorwatch_core::Verdict;
use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{Markup, html};

/// Pictures of each kind of mistake that are shown at most.
const SHOWN: usize = 12;

/// The section of the page, of the int8 file.
pub fn section(deployment: &Deployment, report: &Report) -> Result<Markup> {
    let classes = &report.metadata.classes;
    let (pictures, _, _) = deployment.known_pictures();
    let known = Shown { pictures, judged: &report.known, classes, is_known: true };
    let flagged = known.gallery(&|verdict, _| verdict.is_unknown())?;
    let confused = known.gallery(&|verdict, class| !verdict.is_unknown() && verdict.class != Some(class))?;
    let taken = match (deployment.unknown, &report.unknown) {
        (Some(pictures), Some(judged)) => {
            let unknown = Shown { pictures, judged, classes, is_known: false };
            unknown.gallery(&|verdict, _| !verdict.is_unknown())?
        }
        _ => html! { p { "There are no unknown pictures: give some with --unknown." } },
    };
    Ok(html! {
        section #mistakes {
            h2 { "Nearest mistakes" }
            p.hint {
                "Of the int8 file, as the network sees them. With each: what it is, what it is taken for or "
                "looks most like, and score ÷ threshold (up to 1 is known). The smallest scores come first, "
                "which are nearest to a class centre: a wrong label shows here, and what two classes have in "
                "common."
            }
            h3 { "Known, flagged as unknown" }
            (flagged)
            h3 { "Known, taken for another class" }
            (confused)
            h3 { "Unknown, taken for known" }
            (taken)
        }
    })
}

/// Pictures with the verdicts on them.
struct Shown<'a> {
    pictures: &'a Pictures,
    judged: &'a Judged,
    classes: &'a [String],
    is_known: bool,
}

impl Shown<'_> {
    /// Those that are wrong, which is asked of the verdict and the true class.
    fn gallery(&self, is_wrong: &dyn Fn(&Verdict, usize) -> bool) -> Result<Markup> {
        let wrong = nearest(self.judged, is_wrong);
        let shown = wrong.iter().take(SHOWN).map(|&at| self.picture(at)).collect::<Result<Vec<_>>>()?;
        let of = self.judged.verdicts.len();
        Ok(html! {
            p.hint {
                @match wrong.len() {
                    0 => { "None of " (of) "." }
                    count if count > SHOWN => { (count) " of " (of) "; the first " (SHOWN) ":" }
                    count => { (count) " of " (of) ":" }
                }
            }
            @if !shown.is_empty() { div.gallery { @for picture in shown { (picture) } } }
        })
    }

    fn picture(&self, at: usize) -> Result<Markup> {
        let (index, verdict) = (self.judged.indices[at], &self.judged.verdicts[at]);
        let class = |class: usize| self.classes[class].as_str();
        let is = if self.is_known { class(self.judged.classes[at]) } else { "unknown" };
        let says = match (verdict.class, verdict.is_unknown()) {
            (Some(most_like), true) => format!("flagged; most like {}", class(most_like)),
            (Some(taken_for), false) => format!("taken for {}", class(taken_for)),
            (None, _) => "flagged: its logits are not finite".to_string(),
        };
        let png = BASE64_STANDARD.encode(self.pictures.png(index)?);
        let name = self.pictures.names.get(index).map_or("", String::as_str);
        Ok(html! {
            figure {
                img src={ "data:image/png;base64," (png) } alt=(if name.is_empty() { is } else { name });
                figcaption {
                    strong { (is) } br;
                    (says) br;
                    (format!("{:.2}", verdict.relative_score()))
                    @if !name.is_empty() { br; span.file { (name) } }
                }
            }
        })
    }
}

/// Where the wrong ones are, the smallest score ÷ threshold first.
fn nearest(judged: &Judged, is_wrong: &dyn Fn(&Verdict, usize) -> bool) -> Vec<usize> {
    let verdicts = &judged.verdicts;
    let mut wrong: Vec<usize> =
        (0..verdicts.len()).filter(|&at| is_wrong(&verdicts[at], judged.classes[at])).collect();
    wrong.sort_by(|&one, &other| verdicts[one].relative_score().total_cmp(&verdicts[other].relative_score()));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::judged;

    fn shown(pictures: &Pictures, judged: &Judged, classes: &[String]) -> String {
        let shown = Shown { pictures, judged, classes, is_known: true };
        shown.gallery(&|verdict, class| verdict.class != Some(class)).unwrap().into_string()
    }

    #[test]
    fn the_nearest_come_first_with_their_pictures_and_names_escaped() {
        let classes = ["plain".to_string(), "<b>&\"".to_string()];
        let judged = judged(&[(0, Some(1), 0.75), (1, Some(1), 0.1), (1, Some(0), 0.25)]);
        let pictures = Pictures {
            shape: [1, 1, 1],
            bytes: vec![7, 8, 9],
            classes: vec![0, 1, 1],
            names: vec!["plain/a.png".into(), "b".into(), "<script>/c.png".into()],
            ..Pictures::default()
        };
        let page = shown(&pictures, &judged, &classes);
        let places =
            ["2 of 3", "taken for plain", "0.25", "taken for &lt;b&gt;&amp;&quot;", "0.75", ">plain/a.png<"];
        let found: Vec<usize> = places.iter().map(|text| page.find(text).unwrap()).collect();
        assert!(found.is_sorted(), "{found:?} {page}");
        assert!(!page.contains("<script>") && !page.contains("<b>"), "{page}");
        let png = page.split("base64,").nth(1).unwrap().split('"').next().unwrap();
        let picture = image::load_from_memory(&BASE64_STANDARD.decode(png).unwrap()).unwrap();
        assert_eq!(picture.to_luma8().as_raw(), &[9]);
    }

    #[test]
    fn of_many_a_dozen_are_shown() {
        let judged = judged(&[(0, Some(1), 0.5); 30]);
        let pictures =
            Pictures { shape: [1, 1, 1], bytes: vec![0; 30], classes: vec![0; 30], ..Pictures::default() };
        let page = shown(&pictures, &judged, &["a".to_string(), "b".to_string()]);
        assert_eq!(page.matches("<img").count(), 12);
        assert!(page.contains("30 of 30; the first 12:"), "{page}");
    }
}
