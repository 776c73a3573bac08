//! The page of a run in a real browser: what it shows, and what clicking does.
//!
//! With `SCREENSHOTS=DIR` in the environment, the picture of the README is written there.

use crate::page::Page;
use crate::program::{command, text};
use anchorwatch_browser::Browser;
use anchorwatch_browser::fantoccini::Locator;
use anchorwatch_browser::fantoccini::key::Key;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a script in the page returns.
async fn script(browser: &Browser, script: &str) -> Value {
    browser.execute(script, Vec::new()).await.unwrap()
}

/// The text of an element.
async fn reads(browser: &Browser, id: &str) -> String {
    browser.find(Locator::Id(id)).await.unwrap().text().await.unwrap()
}

async fn click(browser: &Browser, selector: &str) {
    browser.find(Locator::Css(selector)).await.unwrap().click().await.unwrap();
}

/// Waits until a script in the page returns true.
async fn until(browser: &Browser, what: &str, condition: &str) {
    let began = Instant::now();
    while script(browser, &format!("return {condition}")).await != json!(true) {
        let now = script(browser, "return document.body.innerText").await;
        assert!(began.elapsed() < Duration::from_secs(120), "not so: {what}; the page: {now}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_state(browser: &Browser, state: &str) {
    until(browser, state, &format!("document.getElementById('state').textContent === '{state}'")).await;
}

/// How many pixels of a canvas a drawing has changed.
fn drawn(id: &str) -> String {
    format!(
        "return (() => {{ const canvas = document.getElementById('{id}');
         const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
         let count = 0; for (let at = 3; at < data.length; at += 4) count += data[at] > 0; return count; }})()"
    )
}

#[tokio::test]
async fn it_is_clicked_through() {
    const TOKEN: &str = "a-long-enough-token";
    let mut page = Page::start(&["--web-token", TOKEN]);
    // As wide as a telephone.
    let browser = Browser::open(390, 844).await.unwrap();
    browser.goto(&format!("http://{}/", page.address)).await.unwrap();
    assert!(browser.source().await.unwrap().contains("401"), "without the token there is nothing to see");
    browser.goto(&format!("http://{}/?token={TOKEN}", page.address)).await.unwrap();
    until_state(&browser, "something unknown").await;
    assert!(!browser.current_url().await.unwrap().as_str().contains(TOKEN), "the token stays in no history");

    // What it shows: the picture with its region, the score, the event with its crop, figures.
    until(&browser, "a picture of the frame", "document.getElementById('picture').width === 64").await;
    assert_eq!(script(&browser, &drawn("picture")).await, json!(64 * 48));
    let edge = script(
        &browser,
        "return [...document.getElementById('picture').getContext('2d').getImageData(32, 0, 1, 1).data]",
    );
    let edge = edge.await;
    assert!(edge[0].as_u64() > edge[2].as_u64(), "a box in the colour of the unknown: {edge}");
    assert!(reads(&browser, "regions").await.starts_with("UNKNOWN (most like "));
    assert!(script(&browser, &drawn("plot")).await.as_u64().unwrap() > 100);
    until(&browser, "one event with its picture", "document.querySelectorAll('#events img').length === 1 && document.querySelector('#events img').naturalWidth > 0").await;
    assert!(reads(&browser, "events").await.contains("UNKNOWN (most like "));
    assert_eq!(script(&browser, "return document.getElementById('none').offsetHeight").await, json!(0));
    assert!(reads(&browser, "figures").await.contains("Frames judged"));

    // Everything fits a narrow window, and buttons a finger.
    assert_eq!(
        script(&browser, "return document.documentElement.scrollWidth <= innerWidth").await,
        json!(true)
    );
    let least = script(
        &browser,
        "return Math.min(...[...document.querySelectorAll('button')].map((button) => button.offsetHeight))",
    );
    assert!(least.await.as_f64().unwrap() >= 36.0);

    // Another threshold, and back.
    let tried = browser.find(Locator::Id("tried")).await.unwrap();
    let all = format!("{}a{}", char::from(Key::Control), char::from(Key::Null));
    tried.send_keys(&format!("{all}1000000")).await.unwrap();
    click(&browser, "#threshold button:not([type])").await;
    until_state(&browser, "all known").await;
    assert!(reads(&browser, "thresholds").await.starts_with("In effect: 1.000e+6; configured: "));
    assert!(reads(&browser, "regions").await.starts_with("known "));
    click(&browser, "#reset").await;
    until_state(&browser, "something unknown").await;
    let thresholds = reads(&browser, "thresholds").await;
    let numbers: Vec<&str> =
        thresholds.trim_end_matches('.').split("; ").map(|part| part.rsplit(' ').next().unwrap()).collect();
    assert_eq!(numbers[0], numbers[1], "{thresholds}");

    // Another scale draws another line.
    let picture = "return document.getElementById('plot').toDataURL()";
    click(&browser, "#logarithmic").await;
    let logarithmic = script(&browser, "return document.getElementById('logarithmic').checked").await;
    assert_eq!(logarithmic, json!(true));
    let before = script(&browser, picture).await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_ne!(script(&browser, picture).await, before, "the plot moves");

    page.kill();
    until_state(&browser, "the program does not answer").await;
}

/// With the default model and real pictures, two a second.
#[tokio::test]
async fn real_pictures_are_shown() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/samples");
    let folder = tempfile::tempdir().unwrap();
    let mut run = command();
    run.args(["run", "--max-fps", "2", "--source", text(&samples)]);
    let page = Page::of(&mut run, folder);
    let browser = Browser::open(1100, 760).await.unwrap();
    browser.goto(&format!("http://{}/", page.address)).await.unwrap();
    until(&browser, "three events", "document.querySelectorAll('#events li').length >= 3").await;
    until_state(&browser, "something unknown").await;
    let text = reads(&browser, "events").await;
    assert!(text.contains("UNKNOWN (most like "), "{text}");
    // The newest event's picture may be on its way.
    let large = "[...document.querySelectorAll('#events img')].every((picture) => picture.naturalWidth > 64)";
    until(&browser, "pictures wider than 64 pixels", large).await;
    if let Some(folder) = std::env::var_os("SCREENSHOTS") {
        let picture = browser.screenshot().await.unwrap();
        std::fs::write(Path::new(&folder).join("page.png"), picture).unwrap();
    }
}
