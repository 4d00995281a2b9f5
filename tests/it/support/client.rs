//! A caller of the API, and what it gets.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use super::conformance;

/// A caller with its token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Client {
    pub fn new(base: &str, token: Option<&str>) -> Self {
        Self {
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
            base: base.to_owned(),
            token: token.map(str::to_owned),
        }
    }

    /// The same caller, asking another server.
    pub fn at(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            ..self.clone()
        }
    }

    /// A request to be completed by hand.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path)).await
    }

    pub async fn get_with(&self, path: &str, header: (&str, &str)) -> Reply {
        send(self.request(Method::GET, path).header(header.0, header.1)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        send(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn put_with(&self, path: &str, body: &Value, header: (&str, &str)) -> Reply {
        send(
            self.request(Method::PUT, path)
                .json(body)
                .header(header.0, header.1),
        )
        .await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        let request = self.request(Method::PATCH, path).body(body.to_string());
        send(request.header("content-type", "application/merge-patch+json")).await
    }

    pub async fn patch_with(&self, path: &str, body: &Value, header: (&str, &str)) -> Reply {
        let request = self.request(Method::PATCH, path).body(body.to_string());
        let media_type = "application/merge-patch+json";
        let request = request.header("content-type", media_type);
        send(request.header(header.0, header.1)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn post_with(&self, path: &str, body: &Value, header: (&str, &str)) -> Reply {
        send(
            self.request(Method::POST, path)
                .json(body)
                .header(header.0, header.1),
        )
        .await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        send(self.request(Method::DELETE, path)).await
    }

    pub async fn delete_with(&self, path: &str, header: (&str, &str)) -> Reply {
        send(
            self.request(Method::DELETE, path)
                .header(header.0, header.1),
        )
        .await
    }

    /// A body as it stands, of a media type.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        send(
            self.request(method, path)
                .header("content-type", media_type)
                .body(body),
        )
        .await
    }
}

pub async fn send(request: RequestBuilder) -> Reply {
    let (client, request) = request.build_split();
    let request = request.expect("a request");
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await.expect("the server answers");
    let reply = Reply {
        status: response.status(),
        headers: response.headers().clone(),
        bytes: response.bytes().await.expect("a whole body").to_vec(),
    };
    conformance::check(&method, &path, &reply);
    reply
}

impl Reply {
    /// The answer, which has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body());
        self
    }

    /// The problem, which has this status and code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let reply = self.expect(status);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.text("/type"), format!("urn:regcred:problem:{code}"));
        assert_eq!(reply.json()["status"], status);
        assert_eq!(reply.text("/request_id"), reply.header("x-request-id"));
        reply
    }

    /// The mistakes of a 422, which are exactly at these pointers, in any order.
    #[track_caller]
    pub fn expect_mistakes(self, pointers: &[&str]) -> Self {
        let reply = self.expect_problem(422, "validation-failed");
        let mut found = reply.pointers();
        let mut expected: Vec<String> = pointers
            .iter()
            .map(|pointer| (*pointer).to_owned())
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{}", reply.body());
        reply
    }

    pub fn pointers(&self) -> Vec<String> {
        let errors = self.json()["errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        errors
            .iter()
            .filter_map(|error| match error["parameter"].as_str() {
                Some(parameter) => Some(format!("/{parameter}")),
                None => error["pointer"].as_str().map(str::to_owned),
            })
            .collect()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("JSON, not {}", self.body()))
    }

    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// A header, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// A string in the body.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> &'static str {
        let json = self.json();
        let text = json.pointer(pointer).and_then(Value::as_str);
        let text = text.unwrap_or_else(|| panic!("a string at {pointer} of {json}"));
        // Tests are short; what they read may live as long as they do.
        Box::leak(text.to_owned().into_boxed_str())
    }

    /// The values of one field of a list's items.
    pub fn items(&self, field: &str) -> Vec<Value> {
        let items = self.json()["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().map(|item| item[field].clone()).collect()
    }
}
