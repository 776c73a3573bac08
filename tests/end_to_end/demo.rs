//! `anchorwatch run --demo`: the embedded model on the pictures inside the program. This is what a
//! newcomer sees first, so it must be right.

use crate::program::succeed;
use serde_json::Value;

#[test]
fn known_things_are_named_and_unknown_ones_flagged() {
    let output = succeed(["run", "--demo", "--json"]).stdout;
    let verdicts: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut known, mut unknown) = (0, 0);
    for verdict in &verdicts {
        let source = verdict["source"].as_str().unwrap();
        match source.split_once('/').unwrap() {
            ("known", name) => {
                let (class, _) = name.rsplit_once('-').unwrap();
                assert_eq!(
                    (&verdict["outcome"], &verdict["class"]),
                    (&"known".into(), &class.into()),
                    "{source}"
                );
                known += 1;
            }
            ("unknown", _) => {
                assert_eq!(verdict["outcome"], "unknown", "{source}");
                unknown += 1;
            }
            _ => panic!("'{source}' does not say what is true"),
        }
    }
    assert!(known >= 3 && unknown >= 3, "{known} known, {unknown} unknown");
    let said = succeed(["run", "--demo"]).stdout;
    for part in ["The model was trained on", "known cat", "UNKNOWN", "up to 1.0 is known"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
