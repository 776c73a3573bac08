//! What was found, for people (short: the first few of each kind, and what to do) and for programs (all).

use super::listing::Listing;
use super::scan::Scan;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Pictures of a finding that are named to people.
const NAMED: usize = 5;

/// Classes whose counts are shown to people.
const CLASSES_SHOWN: usize = 20;

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A class folder holds no picture.
    EmptyClass,
    /// A format that is not read.
    UnsupportedFormat,
    /// A picture where none is looked for.
    Outside,
    /// A broken file.
    Unreadable,
    /// A class has few pictures to learn from, or none to validate with.
    TooFew,
    /// One class has many times as many as another.
    Imbalance,
    /// Fewer pixels than any network takes.
    Small,
    /// Far from square.
    OddShape,
    /// The same picture in two classes.
    LabelConflict,
    /// The same picture in two levels.
    Leak,
    /// The same picture twice in a class.
    Duplicate,
    /// Looks like another class.
    WrongLabel,
}

/// A picture, or a class, of a finding.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Item {
    /// The file; a folder for what is wrong with a whole class.
    pub path: PathBuf,
    /// The other one, of two that are alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<PathBuf>,
    /// What is to be said of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Item {
    /// Only the name.
    pub fn file(path: &Path) -> Self {
        Self { path: path.to_path_buf(), ..Self::default() }
    }
}

/// One kind of fault, with everything that has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Which.
    pub kind: Kind,
    /// In words, with the number.
    pub what: String,
    /// What to do.
    pub advice: String,
    /// Where.
    pub items: Vec<Item>,
}

impl Finding {
    /// None without items.
    pub fn new(kind: Kind, items: Vec<Item>, what: impl Fn(usize) -> String, advice: &str) -> Option<Self> {
        let what = what(items.len());
        (!items.is_empty()).then(|| Self { kind, what, advice: advice.to_string(), items })
    }
}

/// Pictures of one class.
#[derive(Debug, Serialize)]
struct ClassCount {
    class: String,
    /// By level, in their order.
    pictures: Vec<usize>,
}

/// Everything that is said of a folder.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The folder.
    data: PathBuf,
    /// What is trained on first.
    levels: Vec<String>,
    classes: Vec<ClassCount>,
    /// Width and height of the smallest, the middle and the largest picture, by area.
    sizes: Option<[[u32; 2]; 3]>,
    /// Share of the pictures that most of their neighbours agree with (larger is better): how well the
    /// features tell these classes apart. None if that was not looked at.
    neighbours_agree: Option<f64>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Puts it together.
    pub fn new(
        data: &Path,
        listing: &Listing,
        scan: &Scan,
        neighbours_agree: Option<f64>,
        findings: Vec<Finding>,
    ) -> Self {
        let counts = listing.classes.iter().zip(listing.counts());
        Self {
            data: data.to_path_buf(),
            levels: listing.levels.clone(),
            classes: counts.map(|(class, pictures)| ClassCount { class: class.clone(), pictures }).collect(),
            sizes: scan.sizes(),
            neighbours_agree,
            findings,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n{}", self.title(), self.overview());
        if self.findings.is_empty() {
            text += "\nnothing is wrong\n";
        }
        for (number, finding) in self.findings.iter().enumerate() {
            let _ = writeln!(text, "\n{}. {}", number + 1, finding.what);
            for item in finding.items.iter().take(NAMED) {
                let _ = writeln!(text, "     {}", self.line(item));
            }
            if finding.items.len() > NAMED {
                let _ = writeln!(text, "     and {} more (--json lists all)", finding.items.len() - NAMED);
            }
            let _ = writeln!(text, "   {}", finding.advice);
        }
        text
    }

    /// What was looked at.
    pub fn title(&self) -> String {
        let total: usize = self.classes.iter().flat_map(|class| &class.pictures).sum();
        format!("{}: {} classes, {total} pictures", self.data.display(), self.classes.len())
    }

    /// The classes with their pictures, sizes, and how well the features tell the classes apart.
    pub fn overview(&self) -> String {
        let mut text = String::new();
        let shown = &self.classes[..self.classes.len().min(CLASSES_SHOWN)];
        let width = shown.iter().map(|class| class.class.chars().count()).max().unwrap_or(0).max(12);
        // Writing to a String cannot fail.
        let _ = write!(text, "{:<width$}", "");
        for level in &self.levels {
            let _ = write!(text, "{level:>11}");
        }
        text += "\n";
        for class in shown {
            let _ = write!(text, "{:<width$}", class.class);
            for pictures in &class.pictures {
                let _ = write!(text, "{pictures:>11}");
            }
            text += "\n";
        }
        if self.classes.len() > shown.len() {
            let _ = writeln!(text, "and {} more classes", self.classes.len() - shown.len());
        }
        if let Some([smallest, middle, largest]) = self.sizes {
            let size = |[width, height]: [u32; 2]| format!("{width}×{height}");
            let (smallest, middle, largest) = (size(smallest), size(middle), size(largest));
            let _ = writeln!(text, "sizes: {smallest} to {largest}, half of them up to {middle}");
        }
        if let Some(share) = self.neighbours_agree {
            let _ = writeln!(
                text,
                "labels: {:.1} % of the pictures have the class of most of their neighbours (higher is better)",
                share * 100.0
            );
        }
        text
    }

    /// An item in a line, paths as they are below the folder.
    pub fn line(&self, item: &Item) -> String {
        let short = |path: &Path| path.strip_prefix(&self.data).unwrap_or(path).display().to_string();
        let beside = item.beside.as_deref().map_or(String::new(), |beside| format!(" = {}", short(beside)));
        let note = if item.note.is_empty() { String::new() } else { format!(": {}", item.note) };
        format!("{}{beside}{note}", short(&item.path))
    }
}
