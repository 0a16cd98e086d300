//! What the orders act on, so that they can be tried against a board that loses its power at any step.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::variables::{Directory, Variable};
use crate::{Error, tool};

/// It answers within a second; RAUC waits for us without a limit.
const TOOL_DEADLINE: Duration = Duration::from_secs(30);

/// The two things that a Jetson's boot loader can be spoken to with.
pub trait Board {
    /// What `nvbootctrl` prints.
    ///
    /// # Errors
    /// When it does not end with 0.
    fn nvbootctrl(&mut self, arguments: &[&str]) -> Result<String, Error>;

    /// # Errors
    /// When the variable cannot be read or does not hold a number; `Ok(None)`: there is none.
    fn read(&mut self, variable: Variable) -> Result<Option<u32>, Error>;

    /// Returns when the value is there to stay.
    ///
    /// # Errors
    /// When it is not.
    fn write(&mut self, variable: Variable, value: u32) -> Result<(), Error>;

    /// Also when there is none.
    ///
    /// # Errors
    /// When it is still there.
    fn remove(&mut self, variable: Variable) -> Result<(), Error>;
}

/// The real one, or one whose tools stand in for it.
#[derive(Debug)]
pub struct Jetson {
    nvbootctrl: OsString,
    variables: Directory,
}

impl Jetson {
    #[must_use]
    pub fn new(nvbootctrl: impl Into<OsString>, variables: impl Into<PathBuf>) -> Self {
        Self { nvbootctrl: nvbootctrl.into(), variables: Directory::new(variables.into()) }
    }

    /// As the environment says, see `README.md`.
    #[must_use]
    pub fn from_environment() -> Self {
        let or = |name: &str, default: &str| std::env::var_os(name).unwrap_or_else(|| default.into());
        Self::new(or("NODI_NVBOOTCTRL", "nvbootctrl"), or("NODI_EFIVARS", "/sys/firmware/efi/efivars"))
    }
}

impl Board for Jetson {
    fn nvbootctrl(&mut self, arguments: &[&str]) -> Result<String, Error> {
        Ok(tool::run(&self.nvbootctrl, arguments, TOOL_DEADLINE)?)
    }

    fn read(&mut self, variable: Variable) -> Result<Option<u32>, Error> {
        Ok(self.variables.read(variable)?)
    }

    fn write(&mut self, variable: Variable, value: u32) -> Result<(), Error> {
        Ok(self.variables.write(variable, value)?)
    }

    fn remove(&mut self, variable: Variable) -> Result<(), Error> {
        Ok(self.variables.remove(variable)?)
    }
}
