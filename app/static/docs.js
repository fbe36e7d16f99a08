// Shows the OpenAPI document of this very service.
window.addEventListener("DOMContentLoaded", () => {
  window.SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#docs",
    deepLinking: true,
    persistAuthorization: true,
    validatorUrl: null, // no request leaves this host
  });
});
