module github.com/coatcheck/coatcheck/cmd

go 1.26.0

require (
	github.com/coatcheck/coatcheck v0.0.0
	golang.org/x/crypto v0.58.0
)

require golang.org/x/sys v0.49.0 // indirect

replace github.com/coatcheck/coatcheck => ../
