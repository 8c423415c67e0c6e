"use strict";

/* A session's unsafe requests need Django's CSRF token; the cookie is HttpOnly, so
   "Try it out" works with a bearer token, and with a session for reading. */
SwaggerUIBundle({
  url: "/api/schema",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
