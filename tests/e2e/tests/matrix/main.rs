//! Every operation of the OpenAPI document: its examples work, and it refuses whom it must. What it answers is what the document
//! says. An operation without a row in the table fails the test, and so does a row without its operation.

mod examples;
mod refusals;
mod table;
mod world;
