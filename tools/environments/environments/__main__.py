from environments.cli import main

main()
