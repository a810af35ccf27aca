package demo

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var staticFiles embed.FS

// assets serves the embedded files under names that contain a hash of their
// content, so that browsers may keep each for ever.
type assets struct {
	byURL  map[string]asset
	byName map[string]string
}

type asset struct {
	name string
	body []byte
}

func loadAssets() (*assets, error) {
	a := &assets{byURL: map[string]asset{}, byName: map[string]string{}}
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return nil, fmt.Errorf("load assets: %w", err)
	}
	for _, entry := range entries {
		body, err := staticFiles.ReadFile("static/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("load assets: %w", err)
		}
		hash := sha256.Sum256(body)
		extension := path.Ext(entry.Name())
		url := "/static/" + strings.TrimSuffix(entry.Name(), extension) + "-" + hex.EncodeToString(hash[:6]) + extension
		a.byURL[url] = asset{entry.Name(), body}
		a.byName[entry.Name()] = url
	}
	return a, nil
}

// url is where the file of that name is served.
func (a *assets) url(name string) (string, error) {
	url, known := a.byName[name]
	if !known {
		return "", fmt.Errorf("there is no asset %q", name)
	}
	return url, nil
}

// ServeHTTP serves an asset under the name that url gave.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asset, known := a.byURL[r.URL.Path]
	if !known {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, asset.name, time.Time{}, bytes.NewReader(asset.body))
}
