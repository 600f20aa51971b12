//! The application's variables, as the manifest grants them to this component.

use plaza_domain::Problem;

/// A variable that must be there. Where it is not, the deployment is at fault: 500, and the log names it.
pub fn required(name: &str) -> Result<String, Problem> {
    spin_sdk::variables::get(name).map_err(|error| {
        eprintln!("variable {name:?}: {error}");
        Problem::internal()
    })
}

/// A variable that must be there and be a number.
pub fn number(name: &str) -> Result<u64, Problem> {
    required(name)?.parse().map_err(|_| {
        eprintln!("variable {name:?} is not a whole number");
        Problem::internal()
    })
}
