from riverrun.cli.main import main

main()
