//! Programs of this checkout in other languages, and what runs them. A machine that cannot is told what it
//! lacks.

pub mod go;
pub mod python;
