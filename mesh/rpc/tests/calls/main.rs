//! Calls over real sockets: deadlines, repeats, partings, and what every server answers.

#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod details;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod infrastructure;
#[cfg(test)]
mod resends;
#[cfg(test)]
mod support;
