//! One file per subcommand.

pub mod down;
pub mod logs;
pub mod serve;
pub mod status;
pub mod supervise;
pub mod test;
pub mod up;
