//! The policy file of a running service: read again, refused, shown.

#[cfg(test)]
mod file;
#[cfg(test)]
mod support;
