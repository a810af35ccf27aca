package main

import (
	"github.com/coatcheck/coatcheck"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
)

// serve runs a handler with the session of its request, stores what it
// changed, and adds the header that belongs to the response, which is there
// also when something failed: a cookie that ends a session must not be lost.
func serve(sessions *coatcheck.Manager, c fiber.Ctx, f func(fiber.Ctx, *coatcheck.Session) error) error {
	request, err := adaptor.ConvertRequest(c, true)
	if err != nil {
		return err
	}
	s, err := sessions.Open(request)
	if err != nil {
		return fiber.NewError(coatcheck.Status(err))
	}
	err = f(c, s)
	if err != nil {
		s.Discard()
	}
	header, failed := sessions.Commit(c.Context(), s)
	for name, values := range header {
		for _, value := range values {
			c.Response().Header.Add(name, value)
		}
	}
	if err == nil && failed != nil {
		c.Response().ResetBody() // what was not stored is not claimed
		err = failed
	}
	if err != nil {
		return fiber.NewError(coatcheck.Status(err))
	}
	return nil
}
