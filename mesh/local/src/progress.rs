//! Tells a person what takes so long: a spinner on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Progress on stderr.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    step: Option<(String, Instant)>,
    shown: bool,
}

impl Progress {
    /// Shows steps on stderr.
    pub fn stderr() -> Progress {
        let terminal = stderr().is_terminal() && std::env::var_os("CI").is_none();
        let bar = terminal.then(|| {
            let style = ProgressStyle::with_template("  {spinner} {msg} {elapsed:.dim}");
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Progress { bar, step: None, shown: true }
    }

    /// Shows nothing.
    pub fn hidden() -> Progress {
        Progress { bar: None, step: None, shown: false }
    }

    /// Ends the last step and begins the next.
    pub fn step(&mut self, what: impl Into<String>) {
        self.end_step();
        let what = what.into();
        match &self.bar {
            Some(bar) => bar.set_message(what.clone()),
            None if self.shown => eprintln!("  {what} …"),
            None => {}
        }
        self.step = Some((what, Instant::now()));
    }

    /// Removes the spinner, before other output.
    pub fn finish(&mut self) {
        self.end_step();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            self.shown = true;
        }
    }

    fn end_step(&mut self) {
        let Some((what, begun)) = self.step.take() else { return };
        if let Some(bar) = &self.bar {
            bar.println(format!("  ✓ {what} ({:.1} s)", begun.elapsed().as_secs_f64()));
        }
    }
}
