//! Which classes are known in which trial of a data set: files that a user can add to.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The splits that come with the program.
const BUILT_IN: [(&str, &str); 3] = [
    ("mnist", include_str!("../../splits/mnist.json")),
    ("cifar10", include_str!("../../splits/cifar10.json")),
    ("tinyimagenet", include_str!("../../splits/tinyimagenet.json")),
];

/// The trials of one data set.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Splits {
    /// Where the splits come from, for people.
    pub source: String,
    /// Whether the pictures are read as brightness only.
    #[serde(default)]
    pub grey: bool,
    /// Whether training may mirror the pictures.
    #[serde(default = "yes")]
    pub flip: bool,
    /// The known classes of each trial, by its name; the other classes are unknown.
    pub trials: BTreeMap<String, Vec<String>>,
}

fn yes() -> bool {
    true
}

impl Splits {
    /// Those of a data set that comes with the program, or of a file of the same form.
    ///
    /// # Errors
    /// If there is neither, or the file is of another form.
    pub fn find(name: &str) -> Result<Self> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            return Self::parse(text);
        }
        let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        let text = std::fs::read_to_string(Path::new(name)).with_context(|| {
            format!("'{name}' is neither one of {} nor a file of splits that can be read", known.join(", "))
        })?;
        Self::parse(&text).with_context(|| format!("'{name}' is no file of splits"))
    }

    fn parse(text: &str) -> Result<Self> {
        let splits: Self = serde_json::from_str(text)
            .context(r#"it must be {"source": "…", "trials": {"NAME": ["CLASS", …], …}}"#)?;
        ensure!(!splits.trials.is_empty(), "it has no trials");
        Ok(splits)
    }

    /// The known classes of a trial.
    ///
    /// # Errors
    /// If there is no such trial.
    pub fn known(&self, trial: &str) -> Result<&[String]> {
        let names: Vec<&str> = self.trials.keys().map(String::as_str).collect();
        let known = self.trials.get(trial);
        Ok(known.with_context(|| format!("there is no trial '{trial}', only {}", names.join(", ")))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_splits_are_whole() {
        for (name, known, trials) in [("mnist", 6, 5), ("cifar10", 6, 6), ("tinyimagenet", 20, 1)] {
            let splits = Splits::find(name).unwrap();
            assert_eq!(splits.trials.len(), trials, "{name}");
            for classes in splits.trials.values() {
                let different: std::collections::BTreeSet<_> = classes.iter().collect();
                assert_eq!((classes.len(), different.len()), (known, known), "{name}");
            }
        }
        assert!(Splits::find("cifar10").unwrap().known("9").unwrap_err().to_string().contains("'9'"));
    }

    #[test]
    fn a_file_of_ones_own_is_read_and_another_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("splits.json");
        let name = path.to_str().unwrap();
        std::fs::write(&path, r#"{"source": "mine", "trials": {"a": ["bolt", "nut"]}}"#).unwrap();
        assert_eq!(Splits::find(name).unwrap().known("a").unwrap(), ["bolt", "nut"]);
        for text in ["", "{}", r#"{"source": "mine", "trials": {}}"#, r#"{"source": "mine", "trial": {}}"#] {
            std::fs::write(&path, text).unwrap();
            assert!(Splits::find(name).is_err(), "{text}");
        }
        assert!(Splits::find("imagenet").unwrap_err().to_string().contains("tinyimagenet"));
    }
}
