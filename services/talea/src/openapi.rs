//! The OpenAPI 3.1 document, generated from the routes themselves.

use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, SecurityRequirement};

#[derive(OpenApi)]
#[openapi(info(
    title = "Talea",
    description = "Usage metering and billing that can be proven line by line. Errors are problem details (RFC 9457)."
))]
struct Head;

/// Title, version and the security scheme; the routes are merged into it.
pub(crate) fn head() -> Document {
    let mut head = Head::openapi();
    head.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    head.components.get_or_insert_default().add_security_scheme("api_key", bearer);
    head.security = Some(vec![SecurityRequirement::new::<_, [String; 0], String>("api_key", [])]);
    head
}
