module github.com/absmach/propeller/sdks/go

go 1.19
