package site

import (
	"net/http"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/memstore"
	"github.com/gin-gonic/gin"
)

// newGin is gin-contrib/sessions with its memstore, as its README shows it.
// What is measured has gin's own routing in it, which is small beside the rest.
// A session is decoded when the handler first asks for a value.
func newGin(p Payload) (Site, error) {
	gin.SetMode(gin.ReleaseMode)
	store := memstore.NewStore(signingKey)
	handle := func(h gin.HandlerFunc) http.Handler {
		engine := gin.New()
		engine.Use(sessions.Sessions(cookieName, store))
		engine.GET("/", h)
		engine.GET("/fill", h)
		return engine
	}
	return &httpSite{handlers: Handlers{
		Untouched: handle(func(c *gin.Context) { c.Writer.Write(okayBody) }),
		ReadOne: handle(func(c *gin.Context) {
			text, _ := sessions.Default(c).Get(nameKey).(string)
			c.Writer.WriteString(text)
		}),
		WriteOne: handle(func(c *gin.Context) {
			s := sessions.Default(c)
			n, _ := s.Get(visitsKey).(int)
			s.Set(visitsKey, n+1)
			if err := s.Save(); err != nil {
				c.String(http.StatusInternalServerError, err.Error())
				return
			}
			c.Writer.Write(counted(n + 1))
		}),
		fill: handle(func(c *gin.Context) {
			s := sessions.Default(c)
			s.Set(nameKey, name)
			s.Set(visitsKey, 1)
			for i, text := range p.Texts {
				s.Set(textKey(i), text)
			}
			if err := s.Save(); err != nil {
				c.String(http.StatusInternalServerError, err.Error())
			}
		}),
	}}, nil
}
