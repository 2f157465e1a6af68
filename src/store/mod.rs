//! How it is kept: one folder for each back end, with the same file names.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod model;
pub mod sqlite;
