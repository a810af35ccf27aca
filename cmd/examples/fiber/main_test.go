package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/cmd/examples/internal/walk"
	"github.com/gofiber/fiber/v3"
)

func TestAVisitorWalksThroughTheShop(t *testing.T) {
	app, err := newApp()
	if err != nil {
		t.Fatal(err)
	}
	walk.Through(t, func(r *http.Request) (*http.Response, error) {
		return app.Test(r, fiber.TestConfig{Timeout: time.Minute})
	})
}
