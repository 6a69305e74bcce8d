//! No tenant can see or affect another: in the database ([`registry`]) and over every route of the server ([`routes`]).

mod calls;
pub mod registry;
pub mod routes;
mod tenants;
