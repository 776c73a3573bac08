//! The page in a real browser: a store is looked through with the keyboard, and by touch on a phone's screen.
//! With `ANCHORWATCH_SCREENSHOT=FILE`, the picture of the manual is saved there.

mod made;

use anchorwatch_browser::Browser;
use anchorwatch_browser::fantoccini::actions::{InputSource, KeyAction, KeyActions};
use anchorwatch_browser::fantoccini::{Locator, key::Key};
use anchorwatch_review::{ReviewOptions, Session};
use anyhow::{Context, Result, ensure};
use made::{CLASSES, Made, events, files, store};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// The largest group first.
const KINDS: [(&str, usize); 8] = [
    ("hot-air-balloon", 30),
    ("owl", 24),
    ("sushi", 20),
    ("gamepad", 14),
    ("sunflower", 10),
    ("chameleon", 9),
    ("space-shuttle", 7),
    ("pencils", 6),
];

/// How long the page may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser that looks at a session.
struct Page {
    browser: Browser,
}

impl Page {
    async fn open(session: &Session, width: u32, height: u32) -> Result<Self> {
        let page = Self { browser: Browser::open(width, height).await? };
        page.browser.goto(&format!("http://{}/", session.address())).await?;
        page.browser.wait().at_most(PATIENCE).for_element(Locator::Css(".group.here")).await?;
        Ok(page)
    }

    /// Presses a key, whatever has the focus.
    async fn press(&self, key: char) -> Result<()> {
        let press = KeyActions::new("keyboard".to_string())
            .then(KeyAction::Down { value: key })
            .then(KeyAction::Up { value: key });
        Ok(self.browser.perform_actions(press).await?)
    }

    async fn type_text(&self, text: &str) -> Result<()> {
        for key in text.chars() {
            self.press(key).await?;
        }
        Ok(())
    }

    async fn click(&self, css: &str) -> Result<()> {
        Ok(self.browser.find(Locator::Css(css)).await?.click().await?)
    }

    async fn run(&self, script: &str) -> Result<Value> {
        Ok(self.browser.execute(script, Vec::new()).await?)
    }

    async fn text(&self, css: &str) -> Result<String> {
        Ok(self.browser.find(Locator::Css(css)).await?.text().await?)
    }

    /// Waits until a script says yes.
    async fn until(&self, script: &str) -> Result<()> {
        let yes = async {
            while self.run(script).await? != Value::Bool(true) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, yes).await.with_context(|| script.to_string())?
    }

    /// Waits until the page has said so.
    async fn until_said(&self, text: &str) -> Result<()> {
        let script = format!("return document.getElementById('said').textContent === {text:?}");
        if self.until(&script).await.is_err() {
            ensure!(false, "the page says '{}', and not '{text}'", self.text("#said").await?);
        }
        Ok(())
    }
}

fn session(made: &Made, export: &Path) -> Result<Session> {
    Ok(Session::start(ReviewOptions {
        store: made.folder.path().into(),
        classes: CLASSES.map(String::from).to_vec(),
        export: Some(export.into()),
        ..ReviewOptions::default()
    })?)
}

/// How many events that show this have the label.
fn labelled(made: &Made, shows: &str, label: Option<&str>) -> usize {
    let events = events(made.folder.path());
    events
        .iter()
        .filter(|event| made.shows[&event.id] == shows && event.marks.label.as_deref() == label)
        .count()
}

#[tokio::test]
async fn a_store_is_looked_through_with_the_keyboard() -> Result<()> {
    let made = store(&KINDS);
    let export = tempfile::tempdir()?;
    let session = session(&made, export.path())?;
    let page = Page::open(&session, 1100, 800).await?;
    assert_eq!(page.text("#looked").await?, "0 of 120 looked through");
    let groups = page.run("return document.querySelectorAll('.group').length").await?;
    assert_eq!(groups, 8, "a group for each kind");
    // The first pictures are there; those far below are not asked for yet.
    page.until("return document.querySelector('.thing img').naturalWidth > 0").await?;

    // The largest group is of the second class.
    page.press('2').await?;
    page.until_said("30 pictures: dog").await?;
    assert_eq!(labelled(&made, "hot-air-balloon", Some("dog")), 30);
    assert_eq!(page.text("#looked").await?, "30 of 120 looked through");
    // That was wrong: it is a class of its own.
    page.press('u').await?;
    page.until_said("undone: 30 pictures: dog").await?;
    assert_eq!(labelled(&made, "hot-air-balloon", None), 30);
    page.press('n').await?;
    page.until("return document.getElementById('name').open").await?;
    page.type_text("balloon").await?;
    page.press(Key::Enter.into()).await?;
    page.until_said("30 pictures: balloon").await?;
    assert_eq!(labelled(&made, "hot-air-balloon", Some("balloon")), 30);
    // It has a key of its own now.
    assert_eq!(page.text("#marks button:nth-child(5)").await?, "5 balloon");

    // The next group is where the keys go now: two of it are selected, and set aside.
    page.press(' ').await?;
    page.press(Key::Right.into()).await?;
    page.press(' ').await?;
    page.until_said("2 pictures selected").await?;
    if let Some(file) = std::env::var_os("ANCHORWATCH_SCREENSHOT") {
        let all_loaded = "
            const at = (picture) => picture.getBoundingClientRect();
            const seen = (picture) => at(picture).bottom > 0 && at(picture).top < innerHeight;
            const pictures = [...document.querySelectorAll('.thing img')].filter(seen);
            return pictures.every((picture) => picture.naturalWidth > 0)";
        page.until(all_loaded).await?;
        std::fs::write(&file, page.browser.screenshot().await?)?;
    }
    page.press('i').await?;
    page.until_said("2 pictures ignored").await?;
    // The rest of it, with two keys one upon the other; the second is for the group after it.
    page.type_text("13").await?;
    page.until_said("20 pictures: car").await?;
    assert_eq!((labelled(&made, "owl", Some("cat")), labelled(&made, "owl", None)), (22, 2));
    assert_eq!(labelled(&made, "sushi", Some("car")), 20);
    page.press('s').await?;
    page.until_said("14 pictures starred").await?;

    // What was done is undone after the page is loaded again, too.
    page.browser.refresh().await?;
    page.browser.wait().at_most(PATIENCE).for_element(Locator::Css(".group.here")).await?;
    assert_eq!(page.text("#looked").await?, "74 of 120 looked through");
    page.press('u').await?;
    page.until_said("undone: 14 pictures starred").await?;
    page.press('u').await?;
    page.until_said("undone: 20 pictures: car").await?;
    assert_eq!(labelled(&made, "sushi", Some("car")), 0);
    // The page goes to what is open again.
    page.until("return document.querySelector('.group.here .thing.at .tag').textContent === ''").await?;
    page.press('n').await?;
    page.until("return document.getElementById('name').open").await?;
    page.type_text("CAR").await?;
    page.press(Key::Enter.into()).await?;
    page.until_said("20 pictures: car").await?;

    page.press('?').await?;
    page.until("return document.getElementById('keys').open").await?;
    page.press(Key::Escape.into()).await?;
    page.until("return !document.getElementById('keys').open").await?;
    page.press(Key::Enter.into()).await?;
    page.until(
        "return document.getElementById('large').open && document.getElementById('whole').naturalWidth > 0",
    )
    .await?;
    page.press(Key::Escape.into()).await?;
    page.until("return !document.getElementById('large').open").await?;

    page.click("#export").await?;
    page.until("return document.getElementById('said').textContent.startsWith('72 pictures in ')").await?;
    let said = page.text("#said").await?;
    assert!(said.ends_with(": balloon 30, car 20, cat 22"), "{said}");
    let files = files(export.path());
    let of = |class: &str| files.iter().filter(|(folder, _)| folder == class).count();
    assert_eq!((files.len(), of("balloon"), of("car"), of("cat")), (72, 30, 20, 22));
    for (class, name) in &files {
        let picture = image::open(export.path().join(class).join(name))?;
        ensure!(picture.width() > 0, "{class}/{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_phone_is_enough() -> Result<()> {
    let made = store(&[("owl", 60), ("gamepad", 5)]);
    let export = tempfile::tempdir()?;
    let session = session(&made, export.path())?;
    let page = Page::open(&session, 390, 780).await?;
    // Nothing is cut off at the side.
    page.until("const page = document.documentElement; return page.scrollWidth === page.clientWidth").await?;
    page.click(".group .thing:nth-child(2)").await?;
    page.click(".group .thing:nth-child(3)").await?;
    page.until_said("2 pictures selected").await?;
    page.click("#marks .class:nth-child(3)").await?;
    page.until_said("2 pictures: car").await?;
    assert_eq!(labelled(&made, "owl", Some("car")), 2);
    // Those of a large group that are not shown are meant, too.
    assert_eq!(page.run("return document.querySelectorAll('.group.here .thing').length").await?, 48);
    page.click("#marks .class:nth-child(1)").await?;
    page.until_said("58 pictures: cat").await?;
    // What was looked at is shown again when it is asked for.
    page.click("#choose summary").await?;
    page.until("return document.querySelectorAll('.group').length === 2").await?;
    let set_least = |score: &str| {
        format!(
            "const least = document.getElementById('least');
            least.value = '{score}';
            least.dispatchEvent(new Event('change', {{ bubbles: true }}))"
        )
    };
    page.run(&set_least("1.2")).await?;
    page.until("return document.querySelectorAll('.group').length === 1").await?;
    page.run(&set_least("")).await?;
    page.click("#done").await?;
    page.until("return document.querySelectorAll('.group').length === 2").await?;
    page.until("return document.querySelectorAll('.thing.finished').length === 48").await?;
    Ok(())
}
