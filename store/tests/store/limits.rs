//! What goes when there is too much.

use crate::made::event;
use anchorwatch_store::{Filter, Kind, NewEvent, Order, Retention, Store, verify};
use proptest::prelude::*;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The crop's bytes; whether it is starred, sent, a sample of what was judged known, labelled.
type Given = (usize, bool, bool, bool, bool);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is starred, sent, a sample or labelled: the limit is kept, what went is what goes first, the oldest of each
    /// kind, no more than needed, and every file that is left has its row.
    #[test]
    fn the_size_is_kept_and_the_right_ones_go(
        events in prop::collection::vec((0usize..4000, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()), 1..80),
        limit in 0u64..250_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let without = Retention { free_floor: 0, ..Retention::default() };
        let mut store = Store::open(folder.path(), "unit", without.clone()).unwrap();
        let new = |(number, (bytes, _, _, sample, _)): (usize, &Given)| {
            let mut new: NewEvent = event(number as i64, *bytes);
            new.facts.kind = if *sample { Kind::Known } else { Kind::Single };
            new
        };
        let group: Vec<_> = events.iter().enumerate().map(new).collect();
        let ids: Vec<String> = store.record(&group).ids.into_iter().flatten().collect();
        let chosen = |which: &dyn Fn(&Given) -> bool| -> Vec<&String> {
            events.iter().zip(&ids).filter(|(event, _)| which(event)).map(|(_, id)| id).collect()
        };
        store.star(&chosen(&|event| event.1), true).unwrap();
        store.mark_sent(&chosen(&|event| event.2)).unwrap();
        store.label(&chosen(&|event| event.4), Some("kite")).unwrap();
        let before = store.bytes().unwrap();
        store.set_retention(Retention { max_bytes: Some(limit), ..without });
        while store.retain().unwrap().more {}
        let after = store.bytes().unwrap();
        let mut left = Vec::new();
        store.each(&Filter::default(), Order::Oldest, |event| { left.push(event.id.clone()); Ok(()) }).unwrap();
        prop_assert!(after <= limit || left.is_empty(), "{after} bytes, limit {limit}");
        if before <= limit {
            prop_assert_eq!(left.len(), ids.len());
        }
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&at| {
            let (_, starred, sent, sample, labelled) = events[at];
            (starred, !sample || labelled, !sent, at)
        });
        let gone = ids.len() - left.len();
        for (place, at) in order.into_iter().enumerate() {
            prop_assert_eq!(left.contains(&ids[at]), place >= gone, "event {}", at);
        }
        let totals = store.totals().unwrap();
        prop_assert_eq!((totals.events, totals.removed), (left.len() as u64, gone as u64));
        drop(store);
        let findings = verify(folder.path(), false).unwrap();
        prop_assert!(findings.is_whole(), "{:?}", findings);
    }
}

#[test]
fn age_takes_neither_stars_nor_what_waits_nor_what_has_no_time() {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    for keep_unsent in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let retention = Retention { free_floor: 0, keep_unsent, ..Retention::default() };
        let mut store = Store::open(folder.path(), "unit", retention.clone()).unwrap();
        // Old ones: starred, sent, unsent, without a time; one of now; and an old sample of the known.
        let mut group: Vec<_> = (0..6).map(|number| event(number, 10)).collect();
        group[5].facts.kind = Kind::Known;
        group[3].facts.moment.clock_set = false;
        group[3].facts.moment.boot = "another".into();
        for (event, age) in group.iter_mut().zip([9, 9, 9, 9, 0, 9]) {
            event.facts.moment.utc_ms = now - age * 86_400_000;
        }
        let ids: Vec<String> = store.record(&group).ids.into_iter().flatten().collect();
        store.star(&ids[..1], true).unwrap();
        store.mark_sent(&ids[..2]).unwrap();
        store.set_retention(Retention { max_age: Some(Duration::from_secs(7 * 86_400)), ..retention });
        while store.retain().unwrap().more {}
        let left: Vec<bool> = ids.iter().map(|id| store.event(id).unwrap().is_some()).collect();
        assert_eq!(left, [true, false, keep_unsent, true, true, false]);
    }
}
