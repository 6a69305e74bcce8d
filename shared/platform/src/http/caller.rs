//! Who calls: the API key behind `Authorization: Bearer`, what it may do and for which tenant.
//!
//! A handler gets a [`TenantContext`] only from a [`Caller`], and an [`AllTenants`] only from a key that is bound to no
//! tenant, so that a query for somebody else's tenant cannot be written by mistake.

use super::Problem;
use crate::keys::{Authenticator, KeyRecord};
use crate::postgres::AllTenants;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{header, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::ops::Deref;
use std::sync::Arc;
use talea_domain::id::TenantId;
use talea_domain::tenant::Scope;

/// The authenticated key of a request.
#[derive(Clone, Debug)]
pub struct Caller(Arc<KeyRecord>);

/// A tenant that this caller may act for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantContext(TenantId);

impl Deref for TenantContext {
    type Target = TenantId;
    fn deref(&self) -> &TenantId {
        &self.0
    }
}

impl Caller {
    /// Refuses with 403 unless the key has this scope; `admin` has every scope.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.0.scopes.contains(&scope) || self.0.scopes.contains(&Scope::Admin) {
            return Ok(());
        }
        Err(Problem::forbidden(scope.as_str()))
    }

    /// This tenant, or 404 when the key is bound to another.
    pub fn tenant(&self, tenant: &TenantId) -> Result<TenantContext, Problem> {
        match &self.0.tenant {
            Some(bound) if bound != tenant => Err(Problem::not_found()),
            _ => Ok(TenantContext(tenant.clone())),
        }
    }

    /// The tenant asked for, else the one that the key is bound to, else every tenant.
    pub fn tenant_or_all(&self, asked: Option<&TenantId>) -> Result<Option<TenantContext>, Problem> {
        match asked.or(self.0.tenant.as_ref()) {
            Some(tenant) => self.tenant(tenant).map(Some),
            None => Ok(None),
        }
    }

    /// The tenant that the key is bound to.
    pub fn bound_tenant(&self) -> Option<&TenantId> {
        self.0.tenant.as_ref()
    }

    /// Leave to read across tenants; only a key that is bound to none has it. 404 otherwise.
    pub fn all_tenants(&self) -> Result<AllTenants, Problem> {
        match &self.0.tenant {
            None => Ok(AllTenants::for_unbound_key()),
            Some(_) => Err(Problem::not_found()),
        }
    }

    /// Leave to change what belongs to no tenant (catalogue, clock); a bound key is refused with 403.
    pub fn require_unbound(&self) -> Result<(), Problem> {
        match &self.0.tenant {
            None => Ok(()),
            Some(_) => Err(Problem::bound()),
        }
    }

    /// The key's public id, for the journal's `actor`.
    pub fn actor(&self) -> String {
        self.0.id.to_string()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(Problem::unauthenticated)
    }
}

/// Middleware: looks the key up and leaves the [`Caller`] in the request. A route that needs none simply does not ask.
pub async fn authenticate(State(keys): State<Arc<Authenticator>>, mut request: Request, next: Next) -> Response {
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(secret) = bearer.and_then(|value| value.strip_prefix("Bearer ")) {
        match keys.authenticate(secret.trim()).await {
            Ok(Some(record)) => {
                request.extensions_mut().insert(Caller(record));
            }
            Ok(None) => return Problem::unauthenticated().into_response(),
            Err(error) => {
                tracing::warn!(error = %error, "http.authentication_unavailable");
                return Problem::unavailable("keys cannot be checked now; send the request again").into_response();
            }
        }
    }
    next.run(request).await
}
