"use strict";

/* "Try it out" works with a bearer token; with a session it can only read, because
   scripts cannot read the CSRF token from its cookie (HttpOnly). */
SwaggerUIBundle({
  url: "/api/schema",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
