//! How well groups agree with what things are, for a log whose pictures lay in folders named after their
//! classes: `cargo run --release -p anchorwatch-review --example agreement -- STORE`
//!
//! STORE is the folder of a `run --source 'PICTURES/*/*.jpg' --events STORE`. Prints purity and normalised
//! mutual information for logits and for embeddings, from the fewest groups to the most.

use anchorwatch_review::agreement::{normalised_mutual_information, purity};
use anchorwatch_review::directions::Directions;
use anchorwatch_review::grouping::{Detail, Tree};
use anchorwatch_store::{Event, Filter, Order, Store};
use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::path::Path;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("usage: agreement STORE")?;
    let mut events: Vec<Event> = Vec::new();
    Store::attach(Path::new(&folder))?.each(&Filter::default(), Order::Oldest, |event| {
        events.push(event);
        Ok(())
    })?;
    let class = |event: &Event| {
        let folder = Path::new(&event.facts.source).parent().and_then(Path::file_name);
        folder.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let classes: Vec<String> = events.iter().map(class).collect();
    let mut sizes: HashMap<&str, usize> = HashMap::new();
    classes.iter().for_each(|class| *sizes.entry(class).or_default() += 1);
    ensure!(sizes.len() > 1, "'{folder}' has pictures of one folder only: there is nothing to agree with");
    let largest = sizes.values().max().copied().unwrap_or(0);
    println!(
        "{} events of {} classes; by chance, purity {:.2}",
        events.len(),
        sizes.len(),
        largest as f64 / events.len() as f64
    );
    println!("vectors    numbers  groups  purity  NMI");
    let logits = |event: &Event| event.facts.logits.clone();
    let embedding = |event: &Event| event.facts.embedding.clone();
    for (name, vector) in [("logits", &logits as &dyn Fn(&Event) -> Vec<f32>), ("embedding", &embedding)] {
        let vectors: Vec<Vec<f32>> = events.iter().map(vector).collect();
        let numbers = vectors.first().map_or(0, Vec::len);
        if numbers == 0 || vectors.iter().any(|vector| vector.len() != numbers) {
            println!("{name:10} not in all events");
            continue;
        }
        let mut directions = Directions::new(numbers);
        vectors.iter().for_each(|vector| directions.push(vector));
        let tree = Tree::grow(directions);
        for detail in Detail::ALL {
            let groups: Vec<usize> = tree.groups(detail).iter().map(|place| place.group).collect();
            println!(
                "{name:10} {numbers:7}  {:6}  {:6.3}  {:.3}",
                groups.iter().max().map_or(0, |most| most + 1),
                purity(&groups, &classes),
                normalised_mutual_information(&groups, &classes),
            );
        }
    }
    Ok(())
}
