//! The report of a small real training: what it shows beside what the model files say.

mod made;

use anchorwatch::network::Model;
use made::{KNOWN, cuttings, data, fail, fit, names, succeed, trainer};

/// A class whose name would break a page that it is not escaped in.
const NASTY: &str = "<b>&\"";
const NASTY_ESCAPED: &str = "&lt;b&gt;&amp;&quot;";

/// One section of a report.
fn section<'a>(page: &'a str, mark: &str) -> &'a str {
    let from = page.split(&format!("<section id=\"{mark}\">")).nth(1).unwrap_or_else(|| panic!("no {mark}"));
    from.split("</section>").next().unwrap()
}

/// The numbers in the cells of a table's body, row after row.
fn table(section: &str) -> Vec<Vec<usize>> {
    let body = section.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
    let cell = |cell: &str| cell.split_once('>').unwrap().1.split_once('<').unwrap().0.parse().unwrap();
    body.split("<tr>").skip(1).map(|row| row.split("<td").skip(1).map(cell).collect()).collect()
}

#[test]
fn a_report_has_every_part_and_the_numbers_of_the_model_file() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (data(folder.path()), folder.path().join("out"));
    for level in ["train", "val"] {
        std::fs::rename(data.join(level).join("orange"), data.join(level).join(NASTY)).unwrap();
    }
    let report = folder.path().join("pages/report.html");
    let known = format!("espresso,goldfish,{NASTY}");
    let mut command =
        trainer(["fit", "--backbone", "tiny", "--threads", "1", "--batch", "24", "--epochs", "12"]);
    command.args(["--known", &known, "--seed", "3", "--licence", "CC0 <i>"]);
    command.arg("--data").arg(&data).arg("--out").arg(&out).arg("--report").arg(&report);
    assert!(succeed(command).contains("report.html"));
    assert_eq!(names(report.parent().unwrap()), ["report.html"]);
    let page = std::fs::read_to_string(&report).unwrap();

    // Nothing but the page is needed to see it, and nothing in it but the page's own markup is markup.
    let without_names = page.replace("http://www.w3.org/2000/svg", "");
    for foreign in ["http", "<script", "<link", "url(", "@import", "<b>", "<i>", "CC0 <"] {
        assert!(!without_names.contains(foreign), "{foreign}");
    }
    assert!(page.split("src=\"").skip(1).all(|source| source.starts_with("data:image/png;base64,")));
    assert!(!page.contains(folder.path().to_str().unwrap()));
    for mark in ["card", "confusion", "logits"] {
        assert!(section(&page, mark).contains(NASTY_ESCAPED), "{mark}");
    }
    // Each colour that is drawn with has a rule for light and dark screens.
    for attribute in ["fill", "stroke"] {
        for colour in page.split(&format!(" {attribute}=\"#")).skip(1).map(|rest| &rest[..6]) {
            assert!(page.contains(&format!(".plot [{attribute}=\"#{colour}\"]")), "{attribute} {colour}");
        }
    }

    let model = Model::load(&out.join("model.onnx")).unwrap();
    let metadata = model.metadata();
    let metric = |name: &str| metadata.training.metrics[name];
    let card = section(&page, "card");
    for text in [
        "CC0 &lt;i&gt;",
        "<dd>3</dd>",
        "tiny",
        "--seed 3",
        metadata.training.date.as_str(),
        format!("{:.4}", metric("accuracy")).as_str(),
        format!("{:.4}", metadata.threshold.value).as_str(),
        metadata.threshold.promise().unwrap().to_string().as_str(),
    ] {
        assert!(card.contains(text), "{text}: {card}");
    }
    let plots = |mark: &str| section(&page, mark).matches("<svg").count();
    let marks = ["training", "roc", "scores", "logits", "quantization"];
    assert_eq!(marks.map(plots), [3, 2, 1, 1, 1]);
    assert_eq!(section(&page, "training").matches("<circle").count(), 3 * 12);
    for figure in [format!("AUROC {:.4}", metric("auroc")), format!("OSCR {:.4}", metric("oscr"))] {
        assert!(section(&page, "roc").contains(&format!("int8: {figure}")), "{figure}");
    }
    let float = Model::load(&out.join("model.f32.onnx")).unwrap();
    let figure = format!("f32: AUROC {:.4}", float.metadata().training.metrics["auroc"]);
    assert!(section(&page, "roc").contains(&figure), "{figure}");

    let confusion = table(section(&page, "confusion"));
    assert_eq!(confusion.iter().map(|row| row.iter().sum()).collect::<Vec<usize>>(), [12, 12, 12, 24]);
    let share = |count: usize, of: usize| count as f64 / of as f64;
    let flagged: usize = confusion[..3].iter().map(|row| row[3]).sum();
    assert_eq!(share(36 - flagged, 36), metric("tpr"));
    let taken: usize = confusion[3][..3].iter().sum();
    assert_eq!(share(taken, 24), metric("fpr"));
    let confused = 36 - flagged - (0..3).map(|class| confusion[class][class]).sum::<usize>();
    let mistakes = section(&page, "mistakes");
    let mut places = mistakes.match_indices("</h3>").map(|(at, _)| &mistakes[at..]);
    for (count, of) in [(flagged, 36), (confused, 36), (taken, 24)] {
        let said = if count == 0 { format!("None of {of}") } else { format!("{count} of {of}") };
        assert!(places.next().unwrap().split("<h3>").next().unwrap().contains(&said), "{said}");
    }
    assert_eq!(mistakes.matches("<img").count(), flagged.min(12) + confused.min(12) + taken.min(12));
    assert!(section(&page, "quantization").contains("classify"));
}

#[test]
fn a_report_without_unknown_pictures_says_so_and_can_be_had_of_a_finished_training() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("known"), folder.path().join("out"));
    for (class, sample) in KNOWN {
        cuttings(sample, &data.join(class), 0, 16);
    }
    let options = ["--backbone", "tiny", "--size", "16", "--epochs", "3"];
    succeed(fit(&data, &out, &options));
    let report = folder.path().join("report.html");
    let mut with_report = options.to_vec();
    with_report.extend(["--report", report.to_str().unwrap()]);
    let before = std::fs::read(out.join("checkpoint.safetensors")).unwrap();
    assert!(fail(fit(&data, &out, &with_report)).contains("--resume"));
    with_report.push("--resume");
    succeed(fit(&data, &out, &with_report));
    assert_eq!(std::fs::read(out.join("checkpoint.safetensors")).unwrap(), before);

    let page = std::fs::read_to_string(&report).unwrap();
    assert_eq!(section(&page, "training").matches("<circle").count(), 3 * 3);
    for mark in ["roc", "scores", "confusion", "mistakes"] {
        assert!(section(&page, mark).contains("--unknown"), "{mark}");
    }
    assert!(!section(&page, "roc").contains("<svg"));
    assert_eq!(table(section(&page, "confusion")).len(), 3);
    assert!(section(&page, "scores").contains("<svg") && section(&page, "logits").contains("<svg"));
}
