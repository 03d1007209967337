//! Single key presses from a terminal.

use std::io::{IsTerminal as _, Read as _, stderr, stdin};

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::sync::mpsc;

/// Gives the terminal back as it was when it is dropped.
pub struct Keys {
    before: Option<Termios>,
}

impl Keys {
    /// Listens for a key; hears nothing where nobody sits at a terminal.
    pub fn listen(key: u8) -> (Keys, mpsc::Receiver<()>) {
        let (pressed, presses) = mpsc::channel(1);
        let before = single_keys();
        if before.is_some() {
            // It ends with the process: nothing interrupts a read from a terminal.
            std::thread::spawn(move || {
                for byte in stdin().lock().bytes() {
                    match byte {
                        Ok(byte) if byte.to_ascii_lowercase() == key => {
                            let _ = pressed.try_send(());
                        }
                        Ok(_) => {}
                        Err(_) => return,
                    }
                }
            });
        }
        (Keys { before }, presses)
    }

    /// Whether keys are heard.
    pub fn heard(&self) -> bool {
        self.before.is_some()
    }
}

/// Has the terminal hand over keys at once and unseen. Returns how it was before.
fn single_keys() -> Option<Termios> {
    let terminal = stdin();
    // In the background a change would stop us.
    let in_front = tcgetpgrp(&terminal).is_ok_and(|front| front == getpgrp());
    if !terminal.is_terminal() || !stderr().is_terminal() || !in_front {
        return None;
    }
    let before = tcgetattr(&terminal).ok()?;
    let mut now = before.clone();
    now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Now, &now).ok()?;
    Some(before)
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}
