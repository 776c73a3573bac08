//! The browser opens a page in the size that was asked for, and leaves nothing behind.

use anchorwatch_browser::Browser;
use anchorwatch_browser::fantoccini::Locator;

/// Command lines of all processes that have this text.
fn processes_with(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

#[tokio::test]
async fn it_opens_in_its_size_and_leaves_nothing() {
    let browser = Browser::open(700, 500).await.unwrap();
    browser.goto("data:text/html,<title>It is here</title><p id=p>and reads</p>").await.unwrap();
    assert_eq!(browser.title().await.unwrap(), "It is here");
    let text = browser.find(Locator::Id("p")).await.unwrap().text().await.unwrap();
    assert_eq!(text, "and reads");
    let size = browser.execute("return [innerWidth, innerHeight]", Vec::new()).await.unwrap();
    assert_eq!(size, serde_json::json!([700, 500]));
    let picture = browser.screenshot().await.unwrap();
    assert_eq!(&picture[16..24], [0, 0, 2, 188, 0, 0, 1, 244]); // width and height of the PNG

    let capabilities = serde_json::to_value(browser.capabilities().unwrap()).unwrap();
    let profile = capabilities["chrome"]["userDataDir"].as_str().unwrap().to_string();
    assert!(!processes_with(&profile).is_empty());
    drop(browser);
    assert_eq!(processes_with(&profile), Vec::<String>::new());
    assert!(!std::path::Path::new(&profile).exists());
}
