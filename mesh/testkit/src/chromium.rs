//! A real browser without a screen, driven by the Chrome DevTools Protocol over a pair of pipes:
//! <https://chromedevtools.github.io/devtools-protocol/>.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{eventually::patience, skipped::skipped, sweep::unique};

/// What it is called, where it is installed.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"];
/// The protocol's messages end with this.
const END: u8 = 0;
/// How often a page is asked for what it does not show yet.
const INTERVAL: Duration = Duration::from_millis(20);

/// A browser with one page. It ends when this is dropped.
#[derive(Debug)]
pub struct Chromium {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where it keeps what it keeps.
    profile: PathBuf,
    session: String,
    count: u64,
}

impl Chromium {
    /// Starts the machine's Chromium, or the one that `CHROMIUM` names; without one the test is
    /// skipped by name.
    ///
    /// # Panics
    /// If it does not start, or nothing may be skipped.
    pub async fn find() -> Option<Self> {
        let Some(program) = program() else {
            skipped("chromium", "install it (`apt install chromium`), or name it in CHROMIUM");
            return None;
        };
        Some(Self::start(&program).await.expect("the browser does not start"))
    }

    async fn start(program: &Path) -> Result<Self> {
        let profile = env::temp_dir().join(format!("mesh-chromium-{}", unique()));
        // The browser speaks on 3 and 4, which only a shell can give it from here.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec 3<&0 4>&1 </dev/null >/dev/null; exec \"$0\" \"$@\""])
            .arg(program)
            .args(["--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu"])
            // Tests run as root, and in containers without namespaces of their own or a large /dev/shm.
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut process = command.spawn().with_context(|| format!("{}", program.display()))?;
        let questions = process.stdin.take().context("no pipe to the browser")?;
        let answers = process.stdout.take().context("no pipe from the browser")?;
        let mut browser = Self {
            process,
            questions,
            answers: BufReader::new(answers),
            profile,
            session: String::new(),
            count: 0,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" })).await?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.ask("Target.attachToTarget", attach).await?;
        browser.session = attached["sessionId"].as_str().context("no session")?.to_owned();
        Ok(browser)
    }

    /// Goes to an address, and waits until the browser has an answer.
    ///
    /// # Panics
    /// If it cannot be reached.
    pub async fn visit(&mut self, url: &str) {
        let answer = self.ask("Page.navigate", json!({ "url": url })).await;
        let answer = answer.unwrap_or_else(|error| panic!("{url}: {error:#}"));
        assert!(answer["errorText"].is_null(), "{url}: {}", answer["errorText"]);
    }

    /// What an expression of JavaScript is in the page; a promise is waited for.
    ///
    /// # Panics
    /// If it throws.
    pub async fn eval(&mut self, script: &str) -> Value {
        let asked = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let answer = self.ask("Runtime.evaluate", asked).await;
        let answer = answer.unwrap_or_else(|error| panic!("{script}: {error:#}"));
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "{script}: {thrown}");
        answer["result"]["value"].clone()
    }

    /// Asks the page again and again until the expression is true.
    ///
    /// # Panics
    /// When patience runs out, with what the page shows.
    pub async fn wait(&mut self, script: &str) {
        let all = async {
            while !self.eval(&format!("Boolean({script})")).await.as_bool().unwrap_or_default() {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        if timeout(patience(), all).await.is_err() {
            let shown = self.eval("document.body.innerText").await;
            panic!("waited in vain for: {script}; the page shows {shown}");
        }
    }

    /// Sends a command, and reads until its answer comes; what comes in between is the browser's news.
    async fn ask(&mut self, method: &str, params: Value) -> Result<Value> {
        self.count += 1;
        let mut question = json!({ "id": self.count, "method": method, "params": params });
        if !self.session.is_empty() {
            question["sessionId"] = json!(self.session);
        }
        let mut bytes = serde_json::to_vec(&question)?;
        bytes.push(END);
        self.questions.write_all(&bytes).await?;
        timeout(patience(), self.answer(self.count)).await.context("no answer")?
    }

    async fn answer(&mut self, id: u64) -> Result<Value> {
        loop {
            let mut bytes = Vec::new();
            self.answers.read_until(END, &mut bytes).await?;
            ensure!(bytes.pop() == Some(END), "the browser has ended");
            let mut answer: Value = serde_json::from_slice(&bytes)?;
            if answer["id"] != id {
                continue;
            }
            if !answer["error"].is_null() {
                bail!("{}", answer["error"]);
            }
            return Ok(answer["result"].take());
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.process.start_kill();
        // It may still write there; what is left then is of no use to anybody.
        let _ = fs::remove_dir_all(&self.profile);
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let path = env::var_os("PATH")?;
    let places: Vec<_> = env::split_paths(&path).collect();
    let all = NAMES.iter().flat_map(|name| places.iter().map(move |place| place.join(name)));
    all.into_iter().find(|program| program.is_file())
}
