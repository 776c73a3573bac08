//! Every address of the page, asked over TCP, with a real store of real pictures.

mod made;

use anchorwatch_review::{ExportError, ReviewError, ReviewOptions, Session, agreement, export_folder};
use anchorwatch_store::{Kind, Store};
use made::{CLASSES, DAY, Made, event, events, files, recording, sample, store};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

const KINDS: [(&str, usize); 4] = [("owl", 12), ("sushi", 9), ("gamepad", 20), ("sunflower", 7)];

fn session(made: &Made, export: Option<&Path>) -> Session {
    let options = ReviewOptions {
        store: made.folder.path().into(),
        classes: CLASSES.map(String::from).to_vec(),
        export: export.map(Into::into),
        ..ReviewOptions::default()
    };
    Session::start(options).unwrap()
}

/// Status, head and body.
fn ask(session: &Session, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(session.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server may answer, and close, before it has read everything.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, answer[end + 4..].to_vec())
}

fn get(session: &Session, path: &str) -> (u16, String, Vec<u8>) {
    ask(session, "GET", path, "", b"")
}

fn post(session: &Session, path: &str, body: &Value) -> (u16, Value) {
    post_text(session, path, &body.to_string())
}

fn post_text(session: &Session, path: &str, body: &str) -> (u16, Value) {
    let (status, _, body) = ask(session, "POST", path, "Origin: http://localhost\r\n", body.as_bytes());
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// What must go well.
#[track_caller]
fn done(session: &Session, path: &str, body: Value) -> Value {
    let (status, answer) = post(session, path, &body);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

#[track_caller]
fn assert_refused(answer: (u16, Value), status: u16, reason: &str) {
    assert_eq!(answer.0, status, "{answer:?}");
    assert!(answer.1["error"].as_str().unwrap_or_default().contains(reason), "{answer:?}");
}

fn overview(session: &Session) -> Value {
    serde_json::from_slice(&get(session, "/overview.json").2).unwrap()
}

fn groups(session: &Session, which: Value) -> Vec<Value> {
    done(session, "/groups", json!({ "which": which })).as_array().unwrap().clone()
}

fn numbers(group: &Value) -> Vec<i64> {
    group["things"].as_array().unwrap().iter().map(|thing| thing["number"].as_i64().unwrap()).collect()
}

/// What the event of a number shows.
fn shown(made: &Made, number: i64) -> String {
    let event = events(made.folder.path()).into_iter().find(|event| event.seq == number).unwrap();
    made.shows[&event.id].clone()
}

/// Labels of all events, the oldest first.
fn labels(made: &Made) -> Vec<Option<String>> {
    events(made.folder.path()).into_iter().map(|event| event.marks.label).collect()
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let made = store(&KINDS[..1]);
    let session = session(&made, None);
    for (path, kind) in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")] {
        let (status, head, body) = get(&session, path);
        assert_eq!(status, 200);
        assert!(
            head.contains(&format!("content-type: {kind}")) && head.contains("default-src 'none'"),
            "{head}"
        );
        let text = String::from_utf8(body).unwrap();
        assert!(!text.contains("http://") && !text.contains("https://"), "{path}");
    }
    let overview = overview(&session);
    assert_eq!(
        (&overview["looked"], &overview["of"], &overview["known"]),
        (&json!(0), &json!(12), &json!(4))
    );
    assert_eq!(overview["classes"], json!(CLASSES));
    assert_eq!((&overview["undo"], &overview["export"]), (&Value::Null, &Value::Null));
    assert_eq!(session.things(), 12);
    assert_eq!(ask(&session, "HEAD", "/", "", b"").0, 200);
    assert_eq!(get(&session, "/../../etc/passwd").0, 404);
    assert_eq!(get(&session, "/mark").0, 404);
    assert_eq!(ask(&session, "PUT", "/mark", "Origin: http://localhost\r\n", b"{}").0, 405);
}

#[test]
fn what_looks_alike_is_in_one_group() {
    let made = store(&KINDS);
    let session = session(&made, None);
    let sheets = groups(&session, json!({}));
    let (mut of, mut kinds) = (Vec::new(), Vec::new());
    for sheet in &sheets {
        for number in numbers(sheet) {
            of.push(sheet["group"].as_u64());
            kinds.push(shown(&made, number));
        }
    }
    assert_eq!(of.len(), 48);
    assert!(agreement::purity(&of, &kinds) > 0.95, "{of:?} {kinds:?}");
    // The biggest first, or the most unknown.
    let sizes: Vec<usize> = sheets.iter().map(|sheet| numbers(sheet).len()).collect();
    assert!(sizes.is_sorted_by(|one, other| one >= other), "{sizes:?}");
    let first = done(&session, "/groups", json!({ "order": "most-unknown" }))[0].clone();
    assert_eq!((shown(&made, numbers(&first)[0]), &first["class"]), ("sunflower".into(), &json!("orange")));
    let count =
        |detail: i64| done(&session, "/groups", json!({ "detail": detail })).as_array().unwrap().len();
    assert!(count(1) <= count(3) && count(3) <= count(5));
    assert_refused(post(&session, "/groups", &json!({ "detail": 6 })), 400, "1 (fewest groups) to 5");
    assert_refused(post(&session, "/groups", &json!({ "detail": 0 })), 400, "1 (fewest groups) to 5");
    assert_refused(post(&session, "/groups", &json!({ "witch": {} })), 400, "witch");
}

#[test]
fn unit_time_and_score_choose() {
    let made = store(&KINDS);
    let other = made::store(&[("astronaut", 3)]);
    // Three events of another unit, brought home.
    let mut home = recording(made.folder.path());
    let far = Store::attach(other.folder.path()).unwrap();
    for event in events(other.folder.path()) {
        let crop = anchorwatch_store::Crop {
            bytes: far.crop(&event).unwrap().unwrap(),
            picture: anchorwatch_store::Picture::Jpeg,
            size: event.crop_size,
        };
        let identity = anchorwatch_store::Identity { id: format!("far-{}", event.seq), unit: "far".into() };
        home.record(&[anchorwatch_store::NewEvent {
            facts: event.facts,
            crop: Some(crop),
            identity: Some(identity),
        }]);
    }
    drop(home);
    let session = session(&made, None);
    assert_eq!(overview(&session)["units"], json!(["far", "unit"]));
    let count =
        |which: Value| groups(&session, which).iter().map(|sheet| numbers(sheet).len()).sum::<usize>();
    assert_eq!(count(json!({})), 51);
    assert_eq!(count(json!({ "unit": "far" })), 3);
    assert_eq!(count(json!({ "unit": "nobody" })), 0);
    let hour = 3_600_000;
    assert_eq!(count(json!({ "since_ms": DAY + hour, "until_ms": DAY + 2 * hour })), 9);
    assert_eq!(count(json!({ "since_ms": DAY + 3 * hour })), 7);
    assert_eq!(count(json!({ "least_score": 1.5, "most_score": 1.6 })), 20);
    assert_eq!(count(json!({ "least_score": 1.695 })), 7);
    let first = numbers(&groups(&session, json!({ "least_score": 1.695 }))[0])[0];
    done(&session, "/mark", json!({ "things": [first], "mark": { "do": "ignore" } }));
    assert_eq!((count(json!({})), count(json!({ "done": true }))), (50, 51));
}

#[test]
fn pictures_are_shown_small_and_whole() {
    let made = store(&KINDS[..1]);
    let session = session(&made, None);
    let all = events(made.folder.path());
    let file = |number: i64| {
        let event = all.iter().find(|event| event.seq == number).unwrap();
        std::fs::read(made.folder.path().join(event.crop.as_ref().unwrap())).unwrap()
    };
    for number in [1, 5] {
        let (status, head, body) = get(&session, &format!("/thumb/{number}.jpg"));
        assert!(status == 200 && head.contains("content-type: image/jpeg"), "{head}");
        let small = image::load_from_memory(&body).unwrap();
        assert_eq!(small.width(), if number == 5 { 96 } else { 224 });
        // One that is small already is not made again.
        assert_eq!(body == file(number), number == 5);
        assert_eq!(get(&session, &format!("/picture/{number}.jpg")).2, file(number));
    }
    let (status, _, body) = get(&session, "/thing/5.json");
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &event["id"], &event["class"]), (200, &json!(all[4].id), &json!("cat")));
    for path in ["/thumb/99.jpg", "/picture/99.jpg", "/thing/99.json", "/thumb/x.jpg", "/thumb/1.png"] {
        assert_eq!(get(&session, path).0, 404, "{path}");
    }
    // Its event has made room for another meanwhile; and one is damaged.
    std::fs::remove_file(made.folder.path().join(all[0].crop.as_ref().unwrap())).unwrap();
    assert_eq!(get(&session, "/thumb/1.jpg").0, 404);
    std::fs::write(made.folder.path().join(all[1].crop.as_ref().unwrap()), "no picture").unwrap();
    assert_eq!(get(&session, "/thumb/2.jpg").0, 500);
}

#[test]
fn marks_go_to_the_store_and_come_back() {
    let made = store(&KINDS[..2]);
    let session = session(&made, None);
    let mark =
        |things: &[i64], mark: Value| done(&session, "/mark", json!({ "things": things, "mark": mark }));
    let changed = mark(&[1, 2, 3], json!({ "do": "label", "class": "cat" }));
    assert_eq!((&changed["text"], &changed["overview"]["looked"]), (&json!("3 pictures: cat"), &json!(3)));
    // A new class, and then the same in capitals.
    assert_eq!(
        mark(&[4], json!({ "do": "label", "class": " barn owl " }))["overview"]["classes"][4],
        "barn owl"
    );
    assert_eq!(mark(&[5], json!({ "do": "label", "class": "Barn Owl" }))["things"][0]["label"], "barn owl");
    mark(&[6, 1], json!({ "do": "ignore" }));
    mark(&[2, 7], json!({ "do": "star", "on": true }));
    let marks = |number: usize| {
        let marks = events(made.folder.path()).swap_remove(number - 1).marks;
        (marks.label, marks.ignored, marks.starred)
    };
    let cat = || Some("cat".to_string());
    assert_eq!(marks(1), (None, true, false));
    assert_eq!(marks(2), (cat(), false, true));
    assert_eq!(marks(5), (Some("barn owl".into()), false, false));
    assert_eq!(marks(7), (None, false, true));
    assert_eq!(overview(&session)["looked"], 6);

    // Each change is undone, the last first, whoever asks.
    let undo = || done(&session, "/undo", json!({}))["text"].as_str().unwrap().to_string();
    assert_eq!(overview(&session)["undo"], "2 pictures starred");
    assert_eq!(undo(), "undone: 2 pictures starred");
    assert_eq!((marks(2), marks(7)), ((cat(), false, false), (None, false, false)));
    assert_eq!(undo(), "undone: 2 pictures ignored");
    assert_eq!((marks(1), marks(6)), ((cat(), false, false), (None, false, false)));
    assert_eq!(
        (undo(), undo()),
        ("undone: 1 picture: barn owl".into(), "undone: 1 picture: barn owl".into())
    );
    // The class that nothing is of is gone.
    assert_eq!(overview(&session)["classes"], json!(CLASSES));
    done(&session, "/read", json!({}));
    assert_eq!(undo(), "undone: 3 pictures: cat");
    assert!(labels(&made).iter().all(Option::is_none));
    assert_refused(post(&session, "/undo", &json!({})), 409, "nothing to undo");
    mark(&[8], json!({ "do": "label", "class": "dog" }));
    mark(&[8], json!({ "do": "open" }));
    assert_eq!((marks(8).0, overview(&session)["looked"].clone()), (None, json!(0)));
}

#[test]
fn what_is_not_right_changes_nothing() {
    let made = store(&KINDS[..1]);
    let session = session(&made, None);
    let cat = json!({ "do": "label", "class": "cat" });
    let mark =
        |things: Value, mark: &Value| post(&session, "/mark", &json!({ "things": things, "mark": mark }));
    assert_refused(mark(json!([1, 99]), &cat), 404, "no picture with the number 99");
    assert_refused(mark(json!([]), &cat), 400, "no picture was named");
    assert_refused(mark(json!(["1"]), &cat), 400, "not as it must be");
    assert_refused(mark(json!([1]), &json!({ "do": "explode" })), 400, "explode");
    assert_refused(mark(json!([1]), &json!({ "do": "ignore", "class": "cat" })), 400, "class");
    assert_refused(mark(json!([1]), &json!({ "do": "label", "class": "../up" })), 400, "folder");
    assert_refused(mark(json!([1]), &json!({ "do": "label", "class": " " })), 400, "needs a name");
    assert_refused(post_text(&session, "/mark", "{\"things\": [1], "), 400, "not as it must be");
    assert_refused(post_text(&session, "/undo", "[1]"), 400, "not as it must be");
    assert_refused(post(&session, "/export", &json!({})), 409, "--export DIR");
    assert_refused(post(&session, "/elsewhere", &json!({})), 404, "no such page");
    let body = json!({ "things": [1], "mark": cat }).to_string();
    for origin in ["", "Origin: http://evil.example\r\n", "Origin: null\r\n"] {
        assert_eq!(ask(&session, "POST", "/mark", origin, body.as_bytes()).0, 403, "{origin}");
    }
    let large = vec![b' '; 600 * 1024];
    assert_eq!(ask(&session, "POST", "/mark", "Origin: http://localhost\r\n", &large).0, 413);
    assert!(labels(&made).iter().all(Option::is_none));
    assert_eq!(overview(&session)["undo"], Value::Null);
}

#[test]
fn a_training_folder_is_kept_up_to_date() {
    let made = store(&KINDS[..2]);
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("parts");
    // One that is trained on already.
    std::fs::create_dir_all(to.join("cat")).unwrap();
    std::fs::write(to.join("cat/mine.jpg"), "mine").unwrap();
    let session = session(&made, Some(&to));
    assert_eq!(overview(&session)["export"], json!(to));
    let label = |things: &[i64], class: &str| {
        done(&session, "/mark", json!({ "things": things, "mark": { "do": "label", "class": class } }));
    };
    label(&[1, 2, 3], "cat");
    label(&[13, 14], "sushi");
    done(&session, "/mark", json!({ "things": [4], "mark": { "do": "ignore" } }));
    let exported = done(&session, "/export", json!({}));
    assert_eq!(exported, json!({ "pictures": 5, "classes": { "cat": 3, "sushi": 2 }, "removed": 0 }));
    let all = events(made.folder.path());
    let name = |number: usize| format!("{}.jpg", all[number - 1].id);
    let there = |class: &str, numbers: &[usize]| -> Vec<(String, String)> {
        numbers.iter().map(|number| (class.to_string(), name(*number))).collect()
    };
    let mine = vec![("cat".to_string(), "mine.jpg".to_string())];
    let files = || {
        let mut files = files(&to);
        files.sort();
        files
    };
    let sorted = |mut list: Vec<(String, String)>| {
        list.sort();
        list
    };
    assert_eq!(files(), sorted([there("cat", &[1, 2, 3]), mine.clone(), there("sushi", &[13, 14])].concat()));
    let copied = std::fs::read(to.join("sushi").join(name(13))).unwrap();
    assert_eq!(copied, std::fs::read(made.folder.path().join(all[12].crop.as_ref().unwrap())).unwrap());

    // Labelled otherwise, and not at all.
    label(&[2], "owl");
    done(&session, "/mark", json!({ "things": [13, 14], "mark": { "do": "open" } }));
    let exported = done(&session, "/export", json!({}));
    assert_eq!(exported, json!({ "pictures": 3, "classes": { "cat": 2, "owl": 1 }, "removed": 3 }));
    assert_eq!(files(), sorted([there("cat", &[1, 3]), mine, there("owl", &[2])].concat()));
    let again = export_folder(&Store::attach(made.folder.path()).unwrap(), &to).unwrap();
    assert_eq!((again.pictures, again.removed), (3, 0));
    // Never where the crops themselves lie.
    for inside in ["", "crops", "crops/000000", "new"] {
        let error =
            export_folder(&Store::attach(made.folder.path()).unwrap(), &made.folder.path().join(inside));
        assert!(matches!(error, Err(ExportError::InAStore(_))), "{inside}");
    }
    assert!(all.iter().all(|event| made.folder.path().join(event.crop.as_ref().unwrap()).is_file()));
    std::fs::write(folder.path().join("a file"), "").unwrap();
    let error = export_folder(&Store::attach(made.folder.path()).unwrap(), &folder.path().join("a file"))
        .unwrap_err();
    assert!(error.to_string().contains("a file"), "{error}");
}

#[test]
fn a_thing_that_came_and_went_is_shown_once() {
    let made = store(&[("owl", 2)]);
    let mut log = recording(made.folder.path());
    let picture = image::open(sample("sushi")).unwrap();
    let started = log.record(&[event(&picture, 1, 0, Kind::Started)]).ids[0].clone().unwrap();
    let to = tempfile::tempdir().unwrap();
    let session = session(&made, Some(to.path()));
    let mark = json!({ "things": [3], "mark": { "do": "label", "class": "sushi" } });
    done(&session, "/mark", mark);
    // It is gone, while the program that records goes on.
    let mut end = event(&picture, 1, 60, Kind::Finished);
    end.facts.ends = Some(started.clone());
    let finished = log.record(&[end]).ids[0].clone().unwrap();
    let overview = done(&session, "/read", json!({}));
    assert_eq!((&overview["of"], &overview["looked"]), (&json!(3), &json!(1)));
    // The number is that of its beginning, the picture that of its end.
    let (_, _, body) = get(&session, "/thing/3.json");
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["id"], json!(finished));
    done(&session, "/mark", json!({ "things": [3], "mark": { "do": "label", "class": "nigiri" } }));
    assert_eq!(labels(&made)[2..], [Some("nigiri".into()), Some("nigiri".into())]);
    done(&session, "/export", json!({}));
    assert_eq!(files(to.path()), [("nigiri".to_string(), format!("{finished}.jpg"))]);
    done(&session, "/undo", json!({}));
    done(&session, "/undo", json!({}));
    assert_eq!(labels(&made)[2..], [None, None]);
}

#[test]
fn only_so_many_are_read_and_the_network_needs_a_token() {
    let made = store(&KINDS[..1]);
    let options = ReviewOptions { store: made.folder.path().into(), most: 5, ..ReviewOptions::default() };
    let session = Session::start(options.clone()).unwrap();
    let overview = overview(&session);
    assert_eq!((&overview["of"], &overview["are_more"]), (&json!(5), &json!(true)));
    assert_eq!(get(&session, "/thumb/12.jpg").0, 200);
    assert_eq!(get(&session, "/thumb/1.jpg").0, 404);
    // Without a model's classes, those that it named.
    assert_eq!(overview["classes"], json!(["cat"]));
    let everywhere = ReviewOptions { address: "0.0.0.0:0".parse().unwrap(), ..options.clone() };
    assert!(matches!(Session::start(everywhere), Err(ReviewError::Access(_))));
    let nowhere = ReviewOptions { store: made.folder.path().join("nowhere"), ..options };
    let error = Session::start(nowhere).err().unwrap();
    assert!(error.to_string().contains("no field log"), "{error}");
}

#[test]
fn samples_of_the_known_are_shown_on_request_only() {
    let made = store(&[("owl", 2)]);
    let picture = image::open(sample("sushi")).unwrap();
    recording(made.folder.path())
        .record(&[event(&picture, 1, 0, Kind::Known), event(&picture, 1, 1, Kind::Known)]);
    let number = |session: &Session| overview(session)["of"].clone();
    let usual = session(&made, None);
    assert_eq!(number(&usual), json!(2));
    assert_eq!(get(&usual, "/thing/3.json").0, 404);
    let options = ReviewOptions {
        store: made.folder.path().into(),
        classes: CLASSES.map(String::from).to_vec(),
        known: true,
        ..ReviewOptions::default()
    };
    let samples = Session::start(options).unwrap();
    assert_eq!((number(&samples), get(&samples, "/thing/1.json").0), (json!(2), 404));
    done(&samples, "/mark", json!({ "things": [4], "mark": { "do": "label", "class": "sushi" } }));
    assert_eq!(labels(&made), [None, None, None, Some("sushi".into())]);
    done(&usual, "/read", json!({}));
    assert_eq!(number(&usual), json!(2));
    // What somebody has labelled is trained on, whatever it was judged to be.
    let to = tempfile::tempdir().unwrap();
    let exported = export_folder(&Store::attach(made.folder.path()).unwrap(), to.path()).unwrap();
    assert_eq!((exported.pictures, files(to.path())[0].0.as_str()), (1, "sushi"));
}
